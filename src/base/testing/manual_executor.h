// ManualExecutor: keeps posted tasks until the test says run, so that a test decides what has
// queued by then. Thread-safe; tasks run on the thread that calls a Run.
#pragma once

#include <deque>
#include <utility>

#include "base/executor.h"
#include "base/mutex.h"

namespace mokv {

class ManualExecutor final : public Executor {
 public:
  void Post(Task task) override {
    const MutexLock lock(mutex_);
    tasks_.push_back(std::move(task));
  }

  // Runs the oldest task; false when there is none.
  bool RunOne() {
    Task task;
    {
      const MutexLock lock(mutex_);
      if (tasks_.empty()) return false;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
    return true;
  }

  // Also runs what the tasks post.
  void RunAll() {
    while (RunOne()) {
    }
  }

  // Forgets what is posted, as the death of the process would.
  void DropAll() {
    const MutexLock lock(mutex_);
    tasks_.clear();
  }

  size_t pending() const {
    const MutexLock lock(mutex_);
    return tasks_.size();
  }

 private:
  mutable Mutex mutex_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mokv
