// OpenedStreams: which numbers of streams a client has skipped, since it may not come back to them
// (RFC 9113, 5.1.1). Internal to the engine.
//
// Threads: confined to the connection's.
// Bounds:  kGapsMax. A client that obeys skips none; if it skips often, only the newest gaps count.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mokv::rpc {

class OpenedStreams {
 public:
  // HEADERS of a client's stream have come. False: it skipped this one before.
  bool Take(int32_t stream) {
    if (stream <= last_) return !IsSkipped(stream);
    if (stream > last_ + 2) gaps_[gap_count_++ % kGapsMax] = {last_ + 2, stream};
    last_ = stream;
    return true;
  }
  // Whether the client may open it now.
  bool IsNew(int32_t stream) const { return stream > last_; }

 private:
  static constexpr size_t kGapsMax = 8;
  struct Gap {
    int32_t begin = 0;
    int32_t end = 0;
  };

  bool IsSkipped(int32_t stream) const {
    for (const Gap& gap : gaps_) {
      if (stream >= gap.begin && stream < gap.end) return true;
    }
    return false;
  }

  int32_t last_ = -1;
  std::array<Gap, kGapsMax> gaps_;
  size_t gap_count_ = 0;
};

}  // namespace mokv::rpc
