// FloodGuard: how much a connection may send of something that costs the server and gives it
// nothing: at once, and per second from then on.
//
// Threads: confined to its connection's. Pure: time comes in.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace mokv::rpc {

class FloodGuard {
 public:
  FloodGuard(int64_t burst, int64_t per_second, MonotonicTime now)
      : burst_(burst), per_second_(per_second), left_(burst), as_of_(now) {}

  // `count` more. False: it has sent too much, and its connection is to end.
  bool Allows(MonotonicTime now, int64_t count = 1) {
    const int64_t seconds = (now - as_of_) / std::chrono::seconds(1);
    if (seconds > 0) {
      as_of_ = as_of_ + seconds * Duration(std::chrono::seconds(1));
      left_ = seconds >= burst_ ? burst_ : std::min(burst_, left_ + seconds * per_second_);
    }
    left_ -= count;
    return left_ >= 0;
  }

  // There was a reason for `count` of what has been sent.
  void GiveBack(int64_t count) { left_ = std::min(burst_, left_ + count); }

 private:
  const int64_t burst_;
  const int64_t per_second_;
  int64_t left_;
  MonotonicTime as_of_;  // When whole seconds were last added.
};

}  // namespace mokv::rpc
