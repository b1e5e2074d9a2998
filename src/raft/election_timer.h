// ElectionTimer: when a node that hears from no leader stands for election (§3.4). The length of
// each wait is drawn from [timeout, 2 x timeout), so that votes seldom split.
//
// Threads: confined to the core's. The generator is borrowed.
#pragma once

#include "base/clock.h"
#include "base/random.h"

namespace mokv::raft {

class ElectionTimer {
 public:
  ElectionTimer(Duration timeout, Random& random) : timeout_(timeout), random_(random) {}

  MonotonicTime deadline() const { return deadline_; }

  // Waits anew, for a newly drawn length.
  void Restart(MonotonicTime now) {
    drawn_ = timeout_ + Duration(random_.Next() % static_cast<uint64_t>(timeout_.count()));
    deadline_ = now + drawn_;
  }
  // The leader was heard: waits anew, for the same length.
  void Extend(MonotonicTime now) { deadline_ = now + drawn_; }
  // Waits until `when`, whatever was drawn.
  void ExpireAt(MonotonicTime when) { deadline_ = when; }

 private:
  Duration timeout_;
  Random& random_;
  Duration drawn_{0};
  MonotonicTime deadline_;
};

}  // namespace mokv::raft
