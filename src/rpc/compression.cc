#include "rpc/compression.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/status.h"

namespace mokv::rpc {
namespace {

// zlib's: 15 bits of window, and 16 for the gzip format.
constexpr int kGzipWindowBits = 15 + 16;
// As zlib's deflateInit has it.
constexpr int kMemoryLevel = 8;
constexpr size_t kPartBytes = size_t{16} << 10;

Bytef* Input(std::string_view bytes) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
}

struct Inflater {
  z_stream stream{};
  Inflater() { MOKV_CHECK_EQ(inflateInit2(&stream, kGzipWindowBits), Z_OK); }
  ~Inflater() { inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
};

}  // namespace

std::optional<Encoding> ParseEncoding(std::string_view text) {
  if (text == "identity") return Encoding::kIdentity;
  if (text == "gzip") return Encoding::kGzip;
  return std::nullopt;
}

bool AcceptsGzip(std::string_view accepted) {
  while (!accepted.empty()) {
    const size_t comma = std::min(accepted.find(','), accepted.size());
    std::string_view one = accepted.substr(0, comma);
    while (one.starts_with(' ')) one.remove_prefix(1);
    while (one.ends_with(' ')) one.remove_suffix(1);
    if (one == "gzip") return true;
    accepted.remove_prefix(std::min(comma + 1, accepted.size()));
  }
  return false;
}

void Gzip(std::string_view message, std::string* out) {
  z_stream stream{};
  // The fastest level: between machines that are near each other time matters more than bytes.
  MOKV_CHECK_EQ(deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzipWindowBits, kMemoryLevel,
                             Z_DEFAULT_STRATEGY),
                Z_OK);
  const size_t start = out->size();
  MOKV_CHECK_LE(message.size(), size_t{UINT32_MAX});
  out->resize(start + deflateBound(&stream, static_cast<uLong>(message.size())));
  stream.next_in = Input(message);
  stream.avail_in = static_cast<uInt>(message.size());
  stream.next_out = reinterpret_cast<Bytef*>(out->data() + start);
  stream.avail_out = static_cast<uInt>(out->size() - start);
  MOKV_CHECK_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out->resize(out->size() - stream.avail_out);
  deflateEnd(&stream);
}

absl::Status Gunzip(std::string_view compressed, uint64_t bytes_max, std::string* out,
                    UncompressedCost* cost) {
  Inflater inflater;
  z_stream& stream = inflater.stream;
  stream.next_in = Input(compressed);
  stream.avail_in = static_cast<uInt>(compressed.size());
  std::array<char, kPartBytes> part;
  uint64_t size_bytes = 0;
  while (true) {
    stream.next_out = reinterpret_cast<Bytef*>(part.data());
    stream.avail_out = static_cast<uInt>(part.size());
    const int result = inflate(&stream, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END) {
      return absl::InternalError("a compressed message is not gzip, or cut off");
    }
    const size_t made = part.size() - stream.avail_out;
    size_bytes += made;
    cost->bytes += made;
    if (size_bytes > bytes_max) {
      ++cost->over_the_limit;
      return ResourceExhausted("a message, uncompressed, is over the limit of {} bytes", bytes_max);
    }
    out->append(part.data(), made);
    if (result == Z_STREAM_END) break;
  }
  if (stream.avail_in != 0) {
    return absl::InternalError("a compressed message has bytes behind its end");
  }
  return absl::OkStatus();
}

}  // namespace mokv::rpc
