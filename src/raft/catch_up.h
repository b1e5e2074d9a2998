// CatchUp: whether a learner is near enough to the leader's log to vote (§4.2.1).
//
// Replication is divided into rounds. A round ends when the learner has acknowledged all that the
// log held when the round began. The learner has caught up when a round took less than an election
// timeout; so it must acknowledge something in this leader's term first. If a slower round ends at
// the end of the log, the learner has caught up, too: nothing more is sent to it, and no
// acknowledgement would end another round.
//
// Threads: confined to the core's.
#pragma once

#include "base/clock.h"
#include "raft/types.h"

namespace mokv::raft {

class CatchUp {
 public:
  CatchUp() = default;
  CatchUp(Index last, MonotonicTime now) : target_(last), began_(now) {}

  bool done() const { return done_; }

  // The learner has `match`, the leader's log ends at `last`.
  void OnProgress(Index match, Index last, MonotonicTime now, Duration round_max) {
    if (done_ || match < target_) return;
    done_ = now - began_ <= round_max || match >= last;
    target_ = last;
    began_ = now;
  }

 private:
  Index target_;
  MonotonicTime began_;
  bool done_ = false;
};

}  // namespace mokv::raft
