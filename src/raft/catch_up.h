// CatchUp: whether a learner is near enough to vote (§4.2.1). Replication is seen as rounds, each
// up to where the log ended when the round began; a learner has caught up when a round took it less
// than an election timeout. It never has before it has acknowledged anything in this leader's term.
// When a round that took longer ends and there is nothing more to send, the next one takes no time:
// it must not wait for entries that may not come, since then no acknowledgement would end it.
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
