#include "rpc/grpc_wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "base/utf8.h"

namespace mokv::rpc {
namespace {

constexpr size_t kTimeoutDigitsMax = 8;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

MessagePrefix ParseMessagePrefix(std::string_view bytes) {
  MOKV_DCHECK(bytes.size() >= kMessagePrefixBytes);
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(bytes[i])); };
  return {byte(0) != 0, byte(1) << 24 | byte(2) << 16 | byte(3) << 8 | byte(4)};
}

void WriteMessagePrefix(uint32_t size_bytes, char* out) {
  out[0] = 0;
  out[1] = static_cast<char>(size_bytes >> 24);
  out[2] = static_cast<char>(size_bytes >> 16);
  out[3] = static_cast<char>(size_bytes >> 8);
  out[4] = static_cast<char>(size_bytes);
}

bool IsTransportHeader(std::string_view name) {
  return name.starts_with(':') || name.starts_with("grpc-") || name == "te" ||
         name == "user-agent" || name == "content-type" || name == "accept-encoding";
}

std::optional<Duration> ParseTimeout(std::string_view text) {
  if (text.size() < 2 || text.size() > kTimeoutDigitsMax + 1) return std::nullopt;
  int64_t number = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + (c - '0');
  }
  switch (text.back()) {
    case 'H':
      // Eight digits of hours overflow 64 bits of nanoseconds; a century is as good as for ever.
      return std::chrono::hours(std::min<int64_t>(number, 876'000));
    case 'M':
      return std::chrono::minutes(number);
    case 'S':
      return std::chrono::seconds(number);
    case 'm':
      return std::chrono::milliseconds(number);
    case 'u':
      return std::chrono::microseconds(number);
    case 'n':
      return std::chrono::nanoseconds(number);
    default:
      return std::nullopt;
  }
}

std::string FormatTimeout(Duration timeout) {
  constexpr int64_t kNumberMax = 99'999'999;
  const int64_t ns = std::max<int64_t>(timeout.count(), 1);
  if (ns <= kNumberMax) return fmt::format("{}n", ns);
  if (ns / 1'000 <= kNumberMax) return fmt::format("{}u", ns / 1'000);
  if (ns / 1'000'000 <= kNumberMax) return fmt::format("{}m", ns / 1'000'000);
  return fmt::format("{}S", std::min(ns / 1'000'000'000, kNumberMax));
}

absl::StatusCode ParseStatusCode(std::string_view text) {
  constexpr int kCodeMax = static_cast<int>(absl::StatusCode::kUnauthenticated);
  int code = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), code);
  const bool is_code =
      error == std::errc() && end == text.data() + text.size() && code >= 0 && code <= kCodeMax;
  return is_code ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown;
}

absl::StatusCode CodeOfHttpStatus(std::string_view http_status) {
  if (http_status == "400") return absl::StatusCode::kInternal;
  if (http_status == "401") return absl::StatusCode::kUnauthenticated;
  if (http_status == "403") return absl::StatusCode::kPermissionDenied;
  if (http_status == "404") return absl::StatusCode::kUnimplemented;
  for (const std::string_view later : {"429", "502", "503", "504"}) {
    if (http_status == later) return absl::StatusCode::kUnavailable;
  }
  return absl::StatusCode::kUnknown;
}

std::string PercentEncode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    // HTTP/2 allows no space at either end (RFC 9113, 8.2.1).
    const bool is_end = i == 0 || i + 1 == text.size();
    if (c >= (is_end ? '!' : ' ') && c <= '~' && c != '%') {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<uint8_t>(c));
    }
  }
  return out;
}

std::string_view CutToPercentEncoded(std::string_view text, size_t bytes_max) {
  size_t size = 0;
  while (size < text.size()) {
    // What is no UTF-8 is cut anywhere.
    const size_t next = std::max<size_t>(1, Utf8SequenceLength(text.substr(size)));
    const size_t encoded = PercentEncode(text.substr(size, next)).size();
    if (encoded > bytes_max) break;
    bytes_max -= encoded;
    size += next;
  }
  return text.substr(0, size);
}

std::string PercentDecode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high >= 0 && low >= 0) {
        out += static_cast<char>(high * 16 + low);
        i += 2;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

}  // namespace mokv::rpc
