// The parts of gRPC's wire format that lie on top of HTTP/2: message prefix, grpc-timeout,
// grpc-status, grpc-message. See gRPC's PROTOCOL-HTTP2 document.
//
// Pure functions.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace mokv::rpc {

// One byte "compressed", four bytes of length, big endian.
inline constexpr size_t kMessagePrefixBytes = 5;

struct MessagePrefix {
  bool compressed = false;
  uint32_t size_bytes = 0;
};

// `bytes` must hold at least kMessagePrefixBytes.
MessagePrefix ParseMessagePrefix(std::string_view bytes);
// Writes the prefix of an uncompressed message of `size_bytes` to `out`.
void WriteMessagePrefix(uint32_t size_bytes, char* out);

// Headers that gRPC or HTTP/2 use themselves; all others are the application's metadata.
bool IsTransportHeader(std::string_view name);

// "10S", "100m": at most eight digits and a unit of H M S m u n. Nothing when malformed.
std::optional<Duration> ParseTimeout(std::string_view text);
// In the finest unit that needs at most eight digits, rounded down; at least "1n".
std::string FormatTimeout(Duration timeout);

// The value of `grpc-status`: UNKNOWN when it is not the number of a code.
absl::StatusCode ParseStatusCode(std::string_view text);
// What an answer without `grpc-status` means (gRPC's http-grpc-status-mapping document): it most
// likely comes from a proxy.
absl::StatusCode CodeOfHttpStatus(std::string_view http_status);

// Status messages travel percent-encoded; whatever is not printable ASCII is escaped.
std::string PercentEncode(std::string_view text);
// The beginning of `text` that has at most `bytes_max` bytes once it is encoded, and ends with a whole
// character of UTF-8. Spaces are counted as if each had to be escaped, as one at the end has.
std::string_view CutToPercentEncoded(std::string_view text, size_t bytes_max);
// Malformed escapes are kept as they are, as the specification asks.
std::string PercentDecode(std::string_view text);

}  // namespace mokv::rpc
