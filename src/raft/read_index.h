// ReadIndex: the leader's side of linearizable reads without a log entry (§6.4).
//
// A read waits until a heartbeat round begins; all reads that wait then share the round. The round
// fixes the commit index that they must see. Once a quorum has answered that round (or a later one)
// nobody else can have been leader when it began, so the index was the newest. A read that comes
// while a round is under way needs the next one: the answers may have been sent before it came.
//
// Threads: confined to the core's. Bounds: the core refuses reads beyond Options::reads_max.
#pragma once

#include <deque>
#include <vector>

#include "raft/messages.h"
#include "raft/types.h"

namespace mokv::raft {

// Who waits for a read index: this node's own read, or one that another node has forwarded.
struct ReadOrigin {
  NodeId from;
  RequestId request;    // Own.
  ReadContext context;  // Forwarded.
};

class ReadIndex {
 public:
  struct Confirmed {
    ReadOrigin origin;
    Index index;
  };

  void Add(ReadOrigin origin) { staged_.push_back(origin); }
  bool staged() const { return !staged_.empty(); }
  size_t rounds_in_flight() const { return rounds_.size(); }
  size_t waiting() const { return staged_.size() + in_flight_; }

  // Everything staged goes with `round`, which begins now, and must see `commit`.
  void BeginRound(Round round, Index commit);
  // A quorum has answered `round` or a later one.
  std::vector<Confirmed> OnQuorum(Round round);
  // Leadership ends: everybody who still waits.
  std::vector<ReadOrigin> FailAll();

 private:
  struct Waiting {
    Round round;
    Index index;
    std::vector<ReadOrigin> origins;
  };

  std::vector<ReadOrigin> staged_;
  std::deque<Waiting> rounds_;
  size_t in_flight_ = 0;
};

}  // namespace mokv::raft
