#include "net/worker.h"

#include <pthread.h>

#include <thread>
#include <vector>

#include "base/mutex.h"

namespace mokv::net {

class Worker::Impl {
 public:
  explicit Impl(std::string name) : thread_([this, name = std::move(name)] { Run(name); }) {}

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
    std::vector<Task> batch;
    for (;;) {
      {
        MutexLock lock(mutex_);
        while (queue_.empty() && !stopping_) wake_.Wait(lock);
        if (queue_.empty()) return;
        batch.swap(queue_);
      }
      for (Task& task : batch) task();
      batch.clear();
    }
  }

  Mutex mutex_;
  CondVar wake_;
  std::vector<Task> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // Last: it uses the members above.
};

Worker::Worker(std::string name) : impl_(std::make_unique<Impl>(std::move(name))) {}
Worker::~Worker() { Stop(); }
void Worker::Post(Task task) { impl_->Post(std::move(task)); }
void Worker::Stop() { impl_->Stop(); }

}  // namespace mokv::net
