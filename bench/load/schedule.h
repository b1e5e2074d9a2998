// When the calls of an open loop are due, whatever became of those before: a stall of the server then
// delays the calls that come due in it, instead of keeping them from being made.
//
// Pure: no clock. Threads: confined to one. Units: nanoseconds, of the clock of `begin_ns`.
#pragma once

#include <cstdint>

#include "base/random.h"
#include "load/options.h"

namespace mokv::load {

class Schedule {
 public:
  // Share `index` of `shares` of a schedule of `rate` calls a second that begins at `begin_ns`: of
  // even arrivals every `shares`-th one, of random ones a stream of its own from `seed`.
  Schedule(Arrivals arrivals, double rate, uint64_t begin_ns, uint32_t index, uint32_t shares,
           uint64_t seed);

  // When the next call is due. It stays due until Advance, however late that is.
  uint64_t next_ns() const { return begin_ns_ + static_cast<uint64_t>(offset_ns_); }
  void Advance();

 private:
  double RandomGap();

  Arrivals arrivals_;
  uint64_t begin_ns_;
  double first_ns_;  // Of even arrivals, from the beginning.
  double gap_ns_;    // On average.
  SeededRandom random_;
  uint64_t passed_ = 0;
  double offset_ns_;  // Of the next call, from the beginning. Exact to 1 ns for 104 days.
};

}  // namespace mokv::load
