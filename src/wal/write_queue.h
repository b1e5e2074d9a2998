// WriteQueue: the way from the log's caller to the log thread. Whenever something is to be done
// there, one task, and not more, is posted to the log thread.
//
// Threads: thread-safe; each method says who calls it. Bounds: Space::Admit, which is asked before.
#pragma once

#include <atomic>
#include <deque>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "wal/queued_write.h"

namespace mokv::wal {

class WriteQueue {
 public:
  // `drain` is the task; both must outlive what is posted.
  WriteQueue(Executor& log_thread, Task drain)
      : log_thread_(log_thread), drain_(std::move(drain)) {}

  // Until then nothing is posted.
  void Open() {
    const MutexLock lock(mutex_);
    posted_ = false;
  }

  // From the caller. After a failure what comes is dropped.
  void Push(QueuedWrite item) {
    {
      const MutexLock lock(mutex_);
      if (failed_.load()) return;
      if (!oldest_unsynced_.has_value()) oldest_unsynced_ = item.since;
      items_.push_back(std::move(item));
      if (std::exchange(posted_, true)) return;
    }
    log_thread_.Post([this] { drain_(); });
  }

  // From any thread: there is something to do besides what is pushed.
  void PostDrain() {
    {
      const MutexLock lock(mutex_);
      if (std::exchange(posted_, true)) return;
    }
    log_thread_.Post([this] { drain_(); });
  }

  // From the log thread, as the task begins: moves all that has queued behind what is in `taken`.
  void TakeAll(std::deque<QueuedWrite>& taken) {
    const MutexLock lock(mutex_);
    posted_ = false;
    for (QueuedWrite& item : items_) taken.push_back(std::move(item));
    items_.clear();
  }

  // From the log thread: a batch is durable. Of the items that were taken and are left, the oldest
  // came at `oldest_taken`.
  void OnDurable(std::optional<MonotonicTime> oldest_taken) {
    const MutexLock lock(mutex_);
    oldest_unsynced_ = oldest_taken;
    if (!oldest_taken.has_value() && !items_.empty()) oldest_unsynced_ = items_.front().since;
  }

  // From the log thread: nothing is written any more.
  void Fail() {
    const MutexLock lock(mutex_);
    failed_.store(true);
    items_.clear();
    // Nothing waits any more: what was given will never be durable.
    oldest_unsynced_.reset();
  }

  bool failed() const { return failed_.load(); }
  // When what has been waiting longest to be durable was pushed.
  std::optional<MonotonicTime> oldest_unsynced() const {
    const MutexLock lock(mutex_);
    return oldest_unsynced_;
  }

 private:
  Executor& log_thread_;
  Task drain_;  // Runs on the log thread.
  std::atomic<bool> failed_{false};

  mutable Mutex mutex_;
  std::deque<QueuedWrite> items_ ABSL_GUARDED_BY(mutex_);
  std::optional<MonotonicTime> oldest_unsynced_ ABSL_GUARDED_BY(mutex_);
  bool posted_ ABSL_GUARDED_BY(mutex_) = true;
};

}  // namespace mokv::wal
