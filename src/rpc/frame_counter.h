// FrameCounter: how many frames of HTTP/2 have begun in the bytes of a client, whatever becomes of
// them. nghttp2 tells of those that it looks at, so the others are those that it ignores.
//
// Threads: confined to its connection's. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace mokv::rpc {

class FrameCounter {
 public:
  struct Frames {
    size_t all = 0;
    size_t data = 0;  // DATA of at least one byte.
    size_t data_bytes = 0;
  };

  // Frames whose heads have been completed by the next bytes of the connection.
  Frames Count(std::string_view bytes) {
    Frames frames;
    while (!bytes.empty()) {
      const size_t skipped = std::min(skip_, bytes.size());
      skip_ -= skipped;
      bytes.remove_prefix(skipped);
      if (skip_ > 0 || bytes.empty()) break;
      const size_t taken = std::min(kHeadBytes - head_size_, bytes.size());
      std::memcpy(head_.data() + head_size_, bytes.data(), taken);
      head_size_ += taken;
      bytes.remove_prefix(taken);
      if (head_size_ < kHeadBytes) break;
      head_size_ = 0;
      skip_ = size_t{head_[0]} << 16 | size_t{head_[1]} << 8 | head_[2];
      ++frames.all;
      if (head_[3] == kData && skip_ > 0) {
        ++frames.data;
        frames.data_bytes += skip_;
      }
    }
    return frames;
  }

 private:
  static constexpr size_t kPrefaceBytes = 24;  // RFC 9113, 3.4.
  static constexpr size_t kHeadBytes = 9;      // RFC 9113, 4.1.
  static constexpr uint8_t kData = 0;          // RFC 9113, 6.1.

  size_t skip_ = kPrefaceBytes;  // Before the next head.
  std::array<uint8_t, kHeadBytes> head_{};
  size_t head_size_ = 0;  // Of a head that is not complete.
};

}  // namespace mokv::rpc
