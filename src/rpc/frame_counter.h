// FrameCounter: how many frames of HTTP/2 have begun in the bytes of a client, whatever becomes of
// them. nghttp2 tells of those that it looks at, so the others are those that it ignores. Some of these
// may not come at all: nghttp2 forgets streams that are over, and so does not know.
//
// Threads: confined to its connection's. Pure.
// Bounds:  EndedStreams::kRememberedMax streams whose end is known.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "rpc/ended_streams.h"

namespace mokv::rpc {

class FrameCounter {
 public:
  struct Frames {
    size_t all = 0;
    size_t data = 0;  // DATA of at least one byte.
    size_t data_bytes = 0;
    bool behind_the_end = false;  // HEADERS or DATA of a stream that the client has ended.
    // PRIORITY of no stream (RFC 9113, 6.3), or of one that is to wait for itself (RFC 7540, 5.3.1).
    bool bad_priority = false;
  };

  // Frames whose heads have been completed by the next bytes of the connection.
  Frames Count(std::string_view bytes) {
    Frames frames;
    while (!bytes.empty()) {
      const size_t skipped = std::min(skip_, bytes.size());
      skip_ -= skipped;
      frames.bad_priority |= DependsOnItself(bytes.substr(0, skipped));
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
      frames.behind_the_end |= IsBehindTheEnd();
      frames.bad_priority |= head_[3] == kPriority && Stream() == 0;
      dependency_left_ = head_[3] == kPriority && skip_ == kPriorityBytes ? kDependencyBytes : 0;
    }
    return frames;
  }

 private:
  // Of the frame whose head is complete, as all of these.
  int32_t Stream() const {
    return (head_[5] & 0x7f) << 24 | head_[6] << 16 | head_[7] << 8 | head_[8];
  }
  bool IsBehindTheEnd() {
    const uint8_t type = head_[3];
    if (type != kData && type != kHeaders && type != kReset) return false;
    const int32_t stream = Stream();
    const bool is_behind = type != kReset && ended_.Has(stream);
    if (type == kReset || (head_[4] & kEndStream) != 0) ended_.Add(stream);
    return is_behind;
  }
  // With these bytes of its payload. False also while they do not say it yet.
  bool DependsOnItself(std::string_view payload) {
    for (; dependency_left_ > 0 && !payload.empty(); payload.remove_prefix(1)) {
      dependency_ = dependency_ << 8 | static_cast<uint8_t>(payload.front());
      if (--dependency_left_ == 0) return (dependency_ & INT32_MAX) == uint32_t(Stream());
    }
    return false;
  }

  static constexpr size_t kPrefaceBytes = 24;  // RFC 9113, 3.4.
  static constexpr size_t kHeadBytes = 9;      // RFC 9113, 4.1.
  static constexpr uint8_t kData = 0;          // RFC 9113, 6.1 to 6.4.
  static constexpr uint8_t kHeaders = 1;
  static constexpr uint8_t kPriority = 2;
  static constexpr uint8_t kReset = 3;
  static constexpr uint8_t kEndStream = 1;  // Of DATA and HEADERS.
  static constexpr size_t kPriorityBytes = 5;
  static constexpr size_t kDependencyBytes = 4;  // Which it begins with.

  size_t skip_ = kPrefaceBytes;  // Before the next head.
  std::array<uint8_t, kHeadBytes> head_{};
  size_t head_size_ = 0;  // Of a head that is not complete.
  uint32_t dependency_ = 0;
  size_t dependency_left_ = 0;  // Bytes to come.
  EndedStreams ended_;
};

}  // namespace mokv::rpc
