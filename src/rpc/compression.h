// Compression of messages: gzip (RFC 1952), on zlib. See gRPC's compression document.
//
// Pure functions.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mokv::rpc {

// A value of `grpc-encoding`.
enum class Encoding { kIdentity, kGzip };

// What we take; the value of `grpc-accept-encoding`.
inline constexpr std::string_view kAcceptedEncodings = "identity,gzip";

// Nothing when it is none that we know.
std::optional<Encoding> ParseEncoding(std::string_view text);
// Whether a list of encodings, separated by commas, has gzip in it.
bool AcceptsGzip(std::string_view accepted);

// How one message is to travel. Compressed it is only if the other side takes gzip.
enum class MessageCompression {
  kAuto,    // As its call does, unless it is so short that it would not pay.
  kNever,   // What is secret must not travel compressed beside what an attacker chooses (CRIME).
  kAlways,  // However short it is.
};

// Below this kAuto does not compress: a packet is a packet, and gzip adds 18 bytes.
inline constexpr size_t kCompressedBytesMin = 1024;

// What uncompressing has cost.
struct UncompressedCost {
  size_t bytes = 0;           // That were made.
  size_t over_the_limit = 0;  // Messages of which more would have been made.

  UncompressedCost& operator+=(const UncompressedCost& other) {
    bytes += other.bytes;
    over_the_limit += other.over_the_limit;
    return *this;
  }
};

// Appends `message`, compressed, to `out`.
void Gzip(std::string_view message, std::string* out);

// Appends what `compressed` holds to `out`. RESOURCE_EXHAUSTED once it is over `bytes_max`, without
// making more of it; INTERNAL when it is not gzip, or cut off, or has anything behind it. Adds to `cost`
// in any case.
absl::Status Gunzip(std::string_view compressed, uint64_t bytes_max, std::string* out,
                    UncompressedCost* cost);

}  // namespace mokv::rpc
