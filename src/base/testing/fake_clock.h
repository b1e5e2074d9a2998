// FakeClock: stands still until the test moves it. Confined to one thread.
#pragma once

#include "base/clock.h"

namespace mokv {

class FakeClock final : public Clock {
 public:
  MonotonicTime Now() const override { return now; }
  MonotonicTime now;
};

}  // namespace mokv
