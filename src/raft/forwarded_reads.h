// ForwardedReads: a follower's linearizable reads on their way to the leader and back (§6.4).
//
// All reads that wait when a request leaves share it. A request whose answer is overdue is sent
// again under the same context: whichever copy the leader answers, it got that after the reads had
// come. No context is used for a second set of reads, in this life of the node or another.
//
// Threads: confined to the core's. Bounds: the core refuses reads beyond Options::reads_max.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "raft/messages.h"
#include "raft/types.h"

namespace mokv::raft {

class ForwardedReads {
 public:
  // `boot` tells this life of the node from its others.
  explicit ForwardedReads(uint64_t boot) : boot_(boot) {}

  void Add(RequestId read) { staged_.push_back(read); }
  bool empty() const { return staged_.empty() && sent_.empty(); }
  size_t waiting() const { return staged_.size() + in_flight_; }
  // The context to ask the leader with, if reads are staged and fewer than `requests_max` requests
  // are on their way.
  std::optional<ReadContext> TakeRequest(MonotonicTime now, size_t requests_max);
  // The reads that this answer is for; none if the answer is an old one.
  std::vector<RequestId> OnReply(ReadContext context);
  // The requests that were sent at `before` or earlier. They count as sent `now` from here on.
  std::vector<ReadContext> Overdue(MonotonicTime before, MonotonicTime now);
  // The leader is gone. Returns every read that waits; the contexts are not used again.
  std::vector<RequestId> FailAll();

 private:
  struct Sent {
    uint64_t sequence;
    MonotonicTime at;
    std::vector<RequestId> reads;
  };

  uint64_t boot_;
  uint64_t sequence_ = 0;
  std::vector<RequestId> staged_;
  std::deque<Sent> sent_;
  size_t in_flight_ = 0;
};

}  // namespace mokv::raft
