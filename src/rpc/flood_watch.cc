#include "rpc/flood_watch.h"

#include <cstdint>

#include "rpc/http2_header.h"

namespace mokv::rpc {
namespace {

// DATA frames without data that a client may send: at once, and per second from then on. Some
// clients end a request with one; nobody needs more.
constexpr int64_t kEmptyDataBurst = 1'000;
constexpr int64_t kEmptyDataPerSecond = 100;
// Header blocks that are over the limit, likewise.
constexpr int64_t kLongBlocksBurst = 20;
constexpr int64_t kLongBlocksPerSecond = 1;
// A header block can name one large header thousands of times in a few bytes; it is decoded up to
// so many times the limit.
constexpr size_t kDecodedBlockFactor = 8;

}  // namespace

FloodWatch::FloodWatch(size_t header_bytes_max, MonotonicTime now)
    : header_bytes_max_(header_bytes_max),
      empty_data_(kEmptyDataBurst, kEmptyDataPerSecond, now),
      long_blocks_(kLongBlocksBurst, kLongBlocksPerSecond, now) {}

bool FloodWatch::OnHeader(size_t name_and_value_bytes, MonotonicTime now) {
  const size_t before = block_bytes_;
  block_bytes_ += name_and_value_bytes + kHeaderOverheadBytes;
  if (block_bytes_ <= header_bytes_max_) return true;
  if (before <= header_bytes_max_ && !long_blocks_.Allows(now)) flood_ = "headers over the limit";
  if (block_bytes_ > kDecodedBlockFactor * header_bytes_max_) {
    flood_ = "headers far over the limit";
  }
  return flood_.empty();
}

bool FloodWatch::OnEmptyData(MonotonicTime now) {
  if (!empty_data_.Allows(now)) flood_ = "DATA frames without data";
  return flood_.empty();
}

}  // namespace mokv::rpc
