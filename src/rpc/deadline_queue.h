// DeadlineQueue: when calls run out of time, for all calls of one thread's server or of one channel.
// Internal to the engine.
//
// Threads: confined to its I/O thread.
// Owner:   a ServerThread, a channel.
// Bounds:  one a call, at most.
#pragma once

#include <absl/container/btree_map.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>

#include "base/clock.h"
#include "net/io_pool.h"

namespace mokv::rpc {

template <typename Call>
class DeadlineQueue {
 public:
  // `expired` is told of each call whose deadline has passed and was not removed before.
  DeadlineQueue(net::IoThread& io, const Clock& clock, std::function<void(Call call)> expired)
      : clock_(clock), timer_(io), expired_(std::move(expired)) {}

  // Returns the number to remove it by; never 0.
  uint64_t Add(MonotonicTime deadline, Call call) {
    const uint64_t id = next_id_++;
    calls_.emplace(std::pair(deadline, id), call);
    ArmTimer();
    return id;
  }
  void Remove(MonotonicTime deadline, uint64_t id) { calls_.erase({deadline, id}); }

 private:
  void ArmTimer() {
    if (calls_.empty()) return;
    const MonotonicTime earliest = calls_.begin()->first.first;
    // A timer armed for a call that has ended since fires early, which costs less than moving it
    // with every call.
    if (earliest >= armed_for_) return;
    armed_for_ = earliest;
    timer_.Start(std::max(earliest - clock_.Now(), Duration(0)), [this] { Expire(); });
  }

  void Expire() {
    armed_for_ = MonotonicTime::Max();
    const MonotonicTime now = clock_.Now();
    while (!calls_.empty() && calls_.begin()->first.first <= now) {
      const Call call = calls_.begin()->second;
      calls_.erase(calls_.begin());
      expired_(call);
    }
    ArmTimer();
  }

  const Clock& clock_;
  absl::btree_map<std::pair<MonotonicTime, uint64_t>, Call> calls_;
  uint64_t next_id_ = 1;
  MonotonicTime armed_for_ = MonotonicTime::Max();
  net::Timer timer_;
  const std::function<void(Call)> expired_;
};

}  // namespace mokv::rpc
