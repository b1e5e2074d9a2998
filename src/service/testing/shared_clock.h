// SharedClock: stands still until the test moves it. Thread-safe, unlike FakeClock.
//
// Timers follow the machine's clock all the same: what waits for a time on this one is looked at
// when its timer fires, and goes on waiting if this clock has not moved.
#pragma once

#include <atomic>
#include <chrono>

#include "base/clock.h"

namespace mokv::service::testing {

class SharedClock final : public Clock {
 public:
  MonotonicTime Now() const override { return {Duration(now_ns_.load())}; }

  void Move(Duration by) { now_ns_ += by.count(); }

 private:
  // Some time into the machine's life: nothing that is subtracted from it is below zero.
  std::atomic<int64_t> now_ns_{Duration(std::chrono::hours(1)).count()};
};

}  // namespace mokv::service::testing
