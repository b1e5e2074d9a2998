#include "net/io_pool.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <thread>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#include "base/check.h"
#include "base/mutex.h"
#include "net/poller.h"

namespace mokv::net {
namespace {

thread_local const IoThread* current_thread = nullptr;

// Handlers in one turn; each may stand for a batch of ready sockets or posted tasks. Without a
// bound the turn of a busy thread would never end, and what waits for the turn's end would never
// run.
constexpr int kHandlersPerTurnMax = 16;

void NameThisThread(const std::string& name) { pthread_setname_np(pthread_self(), name.c_str()); }

}  // namespace

class IoThread::Impl {
 public:
  Impl(size_t index, std::string name)
      : index(index),
        name(std::move(name)),
        context(1),
        work(asio::make_work_guard(context)),
        poller(context) {}

  const size_t index;
  const std::string name;
  asio::io_context context;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  Poller poller;
  std::vector<Task> turn_end;
  std::vector<std::shared_ptr<void>> retired;
  std::atomic<bool> stopping{false};

  Mutex mutex;
  std::vector<Task> posted ABSL_GUARDED_BY(mutex);
  std::vector<Task> running;  // Swapped with `posted`, so that both keep their capacity.

  void RunPosted() {
    {
      MutexLock lock(mutex);
      running.swap(posted);
    }
    for (Task& task : running) task();
    running.clear();
  }

  void EndTurn() {
    for (Task& task : turn_end) task();
    // Destructors may retire further objects.
    while (!retired.empty()) {
      auto objects = std::move(retired);
      retired.clear();
    }
  }
};

IoThread::IoThread(size_t index, std::string name)
    : impl_(std::make_unique<Impl>(index, std::move(name))) {}
IoThread::~IoThread() = default;

void IoThread::Post(Task task) {
  bool was_empty;
  {
    MutexLock lock(impl_->mutex);
    was_empty = impl_->posted.empty();
    impl_->posted.push_back(std::move(task));
  }
  if (was_empty) asio::post(impl_->context, [impl = impl_.get()] { impl->RunPosted(); });
}

size_t IoThread::index() const { return impl_->index; }
bool IoThread::IsCurrent() const { return current_thread == this; }
void IoThread::AtTurnEnd(Task task) { impl_->turn_end.push_back(std::move(task)); }
void IoThread::Retire(std::shared_ptr<void> object) { impl_->retired.push_back(std::move(object)); }
asio::io_context& IoThread::context() { return impl_->context; }
Poller& IoThread::poller() { return impl_->poller; }

void IoThread::Run() {
  current_thread = this;
  NameThisThread(impl_->name);
  impl_->poller.Start();
  while (!impl_->stopping.load(std::memory_order_acquire)) {
    impl_->context.run_one();  // Blocks until there is something to do.
    for (int i = 1; i < kHandlersPerTurnMax && impl_->context.poll_one() != 0; ++i) {
    }
    impl_->EndTurn();
  }
  impl_->EndTurn();
  current_thread = nullptr;
}

void IoThread::Stop() {
  impl_->stopping.store(true, std::memory_order_release);
  asio::post(impl_->context, [] {});
}

class IoPool::Joinable {
 public:
  explicit Joinable(std::thread thread) : thread_(std::move(thread)) {}
  ~Joinable() { thread_.join(); }

 private:
  std::thread thread_;
};

IoPool::IoPool(size_t size, const std::string& name) {
  MOKV_CHECK_GE(size, size_t{1});
  MOKV_CHECK(name.empty() || size == 1);
  for (size_t i = 0; i < size; ++i) {
    threads_.push_back(
        std::make_unique<IoThread>(i, name.empty() ? "io-" + std::to_string(i) : name));
  }
}

IoPool::~IoPool() { Stop(); }

void IoPool::Start() {
  MOKV_CHECK(running_.empty());
  // If the other side closes while we write, we want an error code, not a signal. (OpenSSL writes
  // with write(), which has no MSG_NOSIGNAL.)
  signal(SIGPIPE, SIG_IGN);
  for (const auto& thread : threads_) {
    running_.push_back(std::make_unique<Joinable>(std::thread([io = thread.get()] { io->Run(); })));
  }
}

void IoPool::Stop() {
  for (const auto& thread : threads_) thread->Stop();
  running_.clear();
}

class Timer::Impl {
 public:
  explicit Impl(asio::io_context& context) : timer(context) {}
  asio::steady_timer timer;
  uint64_t generation = 0;  // A cancelled wait may already be queued; its number is old.
};

Timer::Timer(IoThread& thread) : impl_(std::make_shared<Impl>(thread.context())) {}
Timer::~Timer() { Cancel(); }

void Timer::Start(Duration delay, Task task) {
  const uint64_t generation = ++impl_->generation;
  impl_->timer.expires_after(delay);
  impl_->timer.async_wait(
      [impl = impl_, generation,
       task = std::make_shared<Task>(std::move(task))](const asio::error_code& error) {
        if (!error && generation == impl->generation) (*task)();
      });
}

void Timer::Cancel() {
  ++impl_->generation;
  impl_->timer.cancel();
}

}  // namespace mokv::net
