// Deadlines: when the calls of one I/O thread run out of time. Internal to the engine.
//
// Threads: confined to the I/O thread.
// Owner:   its ServerThread.
// Bounds:  one a call, at most.
#pragma once

#include <absl/container/btree_map.h>

#include <cstdint>
#include <functional>
#include <utility>

#include "base/clock.h"
#include "net/io_pool.h"
#include "rpc/completion.h"

namespace mokv::rpc {

class Deadlines {
 public:
  // `expired` is told of each call whose deadline has passed and was not removed before.
  Deadlines(net::IoThread& io, const Clock& clock, std::function<void(CallId call)> expired)
      : clock_(clock), timer_(io), expired_(std::move(expired)) {}

  // Returns the number to remove it by; never 0.
  uint64_t Add(MonotonicTime deadline, CallId call);
  void Remove(MonotonicTime deadline, uint64_t id) { calls_.erase({deadline, id}); }

 private:
  void ArmTimer();
  void Expire();

  const Clock& clock_;
  absl::btree_map<std::pair<MonotonicTime, uint64_t>, CallId> calls_;
  uint64_t next_id_ = 1;
  MonotonicTime armed_for_ = MonotonicTime::Max();
  net::Timer timer_;
  const std::function<void(CallId)> expired_;
};

}  // namespace mokv::rpc
