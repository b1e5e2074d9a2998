#include "net/worker.h"

#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace mokv::net {

class Worker::Impl {
 public:
  Impl(std::string name, Pace pace)
      : pace_(pace), thread_([this, name = std::move(name)] { Run(name); }) {}

  void Post(Task task) {
    bool was_empty;
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
      was_empty = queue_.empty();
      queue_.push_back(std::move(task));
    }
    // The thread takes the whole queue at once, so only the first task of a batch must wake it.
    if (was_empty) wake_.NotifyOne();
  }

  void Stop() {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
    }
    wake_.NotifyOne();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void Run(const std::string& name) {
    pthread_setname_np(pthread_self(), name.c_str());
    // Of this thread alone, on Linux. It is a courtesy: where it is refused, the rests remain.
    if (pace_ == Pace::kGentle) setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + kNice);
    std::vector<Task> batch;
    for (;;) {
      {
        MutexLock lock(mutex_);
        while (queue_.empty() && !stopping_) wake_.Wait(lock);
        if (queue_.empty()) return;
        batch.swap(queue_);
      }
      for (Task& task : batch) {
        const MonotonicTime begin = SystemClock().Now();
        task();
        if (pace_ == Pace::kGentle) Rest(SystemClock().Now() - begin);
      }
      batch.clear();
    }
  }

  // Until the time has passed or Stop is called.
  void Rest(Duration duration) {
    const MonotonicTime until = SystemClock().Now() + std::min(duration, kRestMax);
    MutexLock lock(mutex_);
    while (!stopping_) {
      const Duration left = until - SystemClock().Now();
      if (left <= Duration::zero()) return;
      wake_.WaitFor(lock, left);
    }
  }

  const Pace pace_;

  Mutex mutex_;
  CondVar wake_;
  std::vector<Task> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // Last: it uses the members above.
};

Worker::Worker(std::string name, Pace pace)
    : impl_(std::make_unique<Impl>(std::move(name), pace)) {}
Worker::~Worker() { Stop(); }
void Worker::Post(Task task) { impl_->Post(std::move(task)); }
void Worker::Stop() { impl_->Stop(); }

}  // namespace mokv::net
