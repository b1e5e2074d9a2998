// A mutex that Clang's thread-safety analysis and ThreadSanitizer both understand: std::mutex with
// Abseil's annotations. (Debian's absl::Mutex is compiled without ThreadSanitizer, which then
// reports races that are not there.)
#pragma once

#include <absl/base/thread_annotations.h>

#include <condition_variable>
#include <mutex>

namespace mokv {

// Locked by a MutexLock alone.
class ABSL_LOCKABLE Mutex {
  friend class MutexLock;
  std::mutex mutex_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : lock_(mutex.mutex_) {}
  ~MutexLock() ABSL_UNLOCK_FUNCTION() = default;

  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  friend class CondVar;
  std::unique_lock<std::mutex> lock_;
};

class CondVar {
 public:
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }
  void Wait(MutexLock& lock) { condition_.wait(lock.lock_); }
  // False when `timeout` passed first.
  template <typename Rep, typename Period>
  bool WaitFor(MutexLock& lock, std::chrono::duration<Rep, Period> timeout) {
    return condition_.wait_for(lock.lock_, timeout) == std::cv_status::no_timeout;
  }

 private:
  std::condition_variable condition_;
};

}  // namespace mokv
