// HeartbeatRounds and Lease: when a leader's heartbeats were sent, and until when it may answer
// reads from that alone (§6.4.1).
//
// A follower that answers a heartbeat votes for nobody for an election timeout. Once a quorum has
// answered a round, nobody else can be elected within an election timeout of the round's *sending*.
// Clocks may run at different rates, so the lease ends earlier by the drift bound.
//
// Threads: confined to the core's; the owner may publish until() and compares it with the monotonic
//          clock at the moment of the look-up, so that a paused process wakes up without a lease.
#pragma once

#include <deque>

#include "base/check.h"
#include "base/clock.h"
#include "raft/types.h"

namespace mokv::raft {

// Bounds: rounds that no quorum has answered yet, until check-quorum ends the leadership.
class HeartbeatRounds {
 public:
  Round last() const { return last_; }

  Round Begin(MonotonicTime now) {
    MOKV_CHECK(sent_.empty() || sent_.back().at <= now);
    ++last_;
    sent_.push_back({last_, now});
    return last_;
  }
  // A quorum has answered `round`. Returns when that was sent, and forgets earlier ones.
  MonotonicTime OnQuorum(Round round) {
    MOKV_CHECK_LE(round, last_);
    while (!sent_.empty() && sent_.front().round < round) sent_.pop_front();
    MOKV_CHECK(!sent_.empty());
    MOKV_CHECK_EQ(sent_.front().round, round);
    return sent_.front().at;
  }

 private:
  struct Sent {
    Round round;
    MonotonicTime at;
  };
  Round last_;
  std::deque<Sent> sent_;
};

class Lease {
 public:
  Lease(bool enabled, Duration election_timeout, uint32_t drift_percent_max)
      : enabled_(enabled), length_(election_timeout * (100 - drift_percent_max) / 100) {
    MOKV_CHECK_LT(drift_percent_max, 100U);
  }

  bool enabled() const { return enabled_; }
  // Zero: there is none.
  MonotonicTime until() const { return until_; }

  void OnQuorum(MonotonicTime sent) {
    if (enabled_ && !given_up_) until_ = std::max(until_, sent + length_);
  }
  // Leadership begins to be handed over. TimeoutNow lets its target be elected at any time, however
  // late it arrives, so this term has no lease again.
  void GiveUpForTerm() {
    given_up_ = true;
    until_ = MonotonicTime();
  }
  void BeginTerm() {
    given_up_ = false;
    until_ = MonotonicTime();
  }

 private:
  bool enabled_;
  bool given_up_ = false;
  Duration length_;
  MonotonicTime until_;
};

}  // namespace mokv::raft
