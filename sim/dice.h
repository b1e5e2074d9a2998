// Dice: everything that is drawn in a run comes from here, and so from the seed. Parts that draw on
// their own (each fault, each client, each life of a node) get dice of their own, so that the
// others draw the same when one of them is taken away.
//
// Threads: confined to the run's.
#pragma once

#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"

namespace mokv::sim {

class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}
  // Different dice for the same seed and another `stream`.
  Dice(uint64_t seed, uint64_t stream) : random_(SeededRandom(seed ^ (stream << 40)).Next()) {}

  uint64_t Next() { return random_.Next(); }
  uint64_t Below(uint64_t bound) {
    MOKV_CHECK_GT(bound, 0U);
    return random_.Next() % bound;
  }
  // From `low` to `high`, both included.
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Below(static_cast<uint64_t>(high - low + 1)));
  }
  Duration Between(Duration low, Duration high) {
    return Duration(Between(low.count(), high.count()));
  }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  bool Percent(uint64_t percent) { return Below(100) < percent; }
  bool Permille(uint64_t permille) { return permille > 0 && Below(1000) < permille; }
  template <typename T>
  const T& Pick(const std::vector<T>& from) {
    return from[Below(from.size())];
  }

 private:
  SeededRandom random_;
};

}  // namespace mokv::sim
