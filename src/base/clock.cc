#include "base/clock.h"

namespace mokv {
namespace {

class RealClock final : public Clock {
 public:
  MonotonicTime Now() const override {
    return {
        std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())};
  }
};

}  // namespace

const Clock& SystemClock() {
  static const RealClock clock;
  return clock;
}

}  // namespace mokv
