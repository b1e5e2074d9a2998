// Lamport clock: numbers intents, events and queries so that everybody agrees which is newer.
//
// Threads: a value, confined to its owner.
#pragma once

#include <algorithm>

#include "serf/options.h"

namespace mokv::serf {

class LamportClock {
 public:
  LamportTime now() const { return now_; }
  LamportTime Tick() { return now_++; }

  // False for a time so far ahead that no honest cluster has got there; it changes nothing.
  bool Witness(LamportTime seen) {
    if (!IsPlausible(seen)) return false;
    now_ = std::max(now_, seen + 1);
    return true;
  }
  // Another node's clock stands at `next`: it has seen one less.
  bool WitnessNext(LamportTime next) { return next == 0 || Witness(next - 1); }
  bool IsPlausible(LamportTime seen) const {
    return seen <= now_ || seen - now_ <= kLamportJumpMax;
  }
  void Restore(LamportTime at_least) {
    if (at_least < kRestoreMax) now_ = std::max(now_, at_least);
  }

 private:
  // The highest time that a file may restore, so that enough numbers are left for later.
  static constexpr LamportTime kRestoreMax = LamportTime{1} << 62;

  LamportTime now_ = 1;
};

}  // namespace mokv::serf
