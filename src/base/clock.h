// Time as an argument: what decides takes a Clock or a time point, so that simulation can own time.
#pragma once

#include <chrono>
#include <compare>

namespace mokv {

using Duration = std::chrono::nanoseconds;

// A point of monotonic time. Only differences mean anything, and only on one machine.
struct MonotonicTime {
  Duration since_start{0};

  constexpr auto operator<=>(const MonotonicTime&) const = default;
  constexpr MonotonicTime operator+(Duration d) const { return {since_start + d}; }
  constexpr MonotonicTime operator-(Duration d) const { return {since_start - d}; }
  constexpr Duration operator-(MonotonicTime other) const {
    return since_start - other.since_start;
  }
  static constexpr MonotonicTime Max() { return {Duration::max()}; }
};

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime Now() const = 0;
};

// The machine's clocks. Lives for the whole process.
const Clock& SystemClock();

}  // namespace mokv
