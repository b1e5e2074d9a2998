// Backoff: how long to wait before connecting again, as gRPC's connection-backoff document has it.
// After a server has died its clients come back spread over time, and ever more seldom.
//
// Threads: a value of its channel. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "base/clock.h"
#include "base/random.h"

namespace mokv::rpc {

struct BackoffOptions {
  Duration initial = std::chrono::seconds(1);
  double multiplier = 1.6;
  double jitter = 0.2;  // Of each wait but the first, up or down.
  Duration max = std::chrono::seconds(120);
};

class Backoff {
 public:
  Backoff(const BackoffOptions& options, uint64_t seed) : options_(options), random_(seed) {}

  // An attempt begins: how long after its beginning the next one may, should it fail.
  Duration Next() {
    if (current_ == Duration(0)) {
      current_ = std::min(options_.initial, options_.max);
      return current_;
    }
    current_ = std::min(Scaled(current_, options_.multiplier), options_.max);
    // 53 bits are what a double holds.
    const double unit = static_cast<double>(random_.Next() >> 11) / static_cast<double>(1ull << 53);
    return Scaled(current_, 1 + options_.jitter * (2 * unit - 1));
  }
  // An attempt has been successful.
  void Reset() { current_ = Duration(0); }

 private:
  static Duration Scaled(Duration duration, double factor) {
    return Duration(static_cast<int64_t>(static_cast<double>(duration.count()) * factor));
  }

  const BackoffOptions options_;
  SeededRandom random_;
  Duration current_{0};
};

}  // namespace mokv::rpc
