// NodeClock: one node's monotonic clock, which runs at a rate of its own and may jump forward (a
// suspended machine). It never goes back within a life; a restart may begin anywhere.
//
// Threads: confined to the run's. Units: rates in permille of true time.
#pragma once

#include "base/clock.h"

namespace mokv::sim {

class NodeClock {
 public:
  MonotonicTime Read(MonotonicTime now) const {
    return local_ + Duration((now - since_).count() * rate_permille_ / 1000);
  }
  // The first moment at which it shows `local` or more.
  MonotonicTime When(MonotonicTime local) const {
    if (local <= local_) return since_;
    const int64_t ahead = (local - local_).count();
    return since_ + Duration((ahead * 1000 + rate_permille_ - 1) / rate_permille_);
  }
  int64_t rate_permille() const { return rate_permille_; }

  void SetRate(MonotonicTime now, int64_t permille) {
    Begin(now, Read(now));
    rate_permille_ = permille;
  }
  void Jump(MonotonicTime now, Duration forward) { Begin(now, Read(now) + forward); }
  void Begin(MonotonicTime now, MonotonicTime local) {
    local_ = local;
    since_ = now;
  }

 private:
  int64_t rate_permille_ = 1000;
  MonotonicTime since_;
  MonotonicTime local_;
};

}  // namespace mokv::sim
