// Inbox: what any thread has for the replica, until its next turn takes all of it as one batch.
//
// Threads: Add and Wake are thread-safe; Take is confined to the executor on which `turn` runs.
// Bounds:  none of its own: who adds has been admitted (Writes, Reads), or is one of a few.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"

namespace mokv::replica {

template <typename Event>
class Inbox {
 public:
  // Borrows the executor.
  Inbox(Executor& executor, std::function<void()> turn)
      : executor_(executor), turn_(std::move(turn)) {}

  void Add(Event event) {
    bool post = false;
    {
      const MutexLock lock(mutex_);
      events_.push_back(std::move(event));
      post = !std::exchange(posted_, true);
    }
    if (post) executor_.Post([this] { turn_(); });
  }

  // Asks for a turn, unless one is on its way.
  void Wake() {
    {
      const MutexLock lock(mutex_);
      if (std::exchange(posted_, true)) return;
    }
    executor_.Post([this] { turn_(); });
  }

  // Into `events`, which must be empty. What comes from now on asks for another turn.
  void Take(std::vector<Event>& events) {
    const MutexLock lock(mutex_);
    events.swap(events_);
    posted_ = false;
  }

 private:
  Executor& executor_;
  const std::function<void()> turn_;
  Mutex mutex_;
  std::vector<Event> events_ ABSL_GUARDED_BY(mutex_);
  bool posted_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace mokv::replica
