// ThreadExecutor: an executor with a thread of its own, for tests of what threads do to each other.
#pragma once

#include <deque>
#include <thread>
#include <utility>

#include "base/executor.h"
#include "base/mutex.h"

namespace mokv {

class ThreadExecutor final : public Executor {
 public:
  ThreadExecutor() : thread_([this] { Run(); }) {}
  ~ThreadExecutor() override { Stop(); }

  void Post(Task task) override {
    const MutexLock lock(mutex_);
    tasks_.push_back(std::move(task));
    changed_.NotifyOne();
  }

  // Runs what has been posted, and then ends.
  void Stop() {
    {
      const MutexLock lock(mutex_);
      stopping_ = true;
      changed_.NotifyOne();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  void Run() {
    while (Task task = Next()) task();
  }

  // Empty at the end.
  Task Next() {
    MutexLock lock(mutex_);
    while (tasks_.empty() && !stopping_) changed_.Wait(lock);
    if (tasks_.empty()) return nullptr;
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    return task;
  }

  Mutex mutex_;
  CondVar changed_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // Last: it uses the rest.
};

}  // namespace mokv
