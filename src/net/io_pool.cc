#include "net/io_pool.h"

#include <pthread.h>
#include <signal.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

#include "base/check.h"
#include "base/mutex.h"
#include "net/poller.h"

namespace mokv::net {
namespace {

thread_local const IoThread* current_thread = nullptr;

// Handlers of Asio in one turn. Without a bound the turn of a busy thread would never end, and what waits
// for the turn's end would never run.
constexpr int kHandlersPerTurnMax = 16;
// How often a busy thread looks after what Asio has: by so much timers and new connections may be late
// on it. A thread whose sockets and tasks are quiet for so long is at rest.
constexpr std::chrono::nanoseconds kTick = std::chrono::milliseconds(1);

// Tells a busy thread, through its poller, that kTick has passed. A time limit for each wait would set a
// timer of the processor for each turn, which costs a virtual machine more than the turn's system call.
class Ticker final : public Poller::Target {
 public:
  explicit Ticker(Poller& poller)
      : poller_(poller), fd_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
    // Edge-triggered: each tick is told of once, and nobody has to read it.
    poller_.Add(fd_, EPOLLIN | EPOLLET, this);
  }
  ~Ticker() override {
    poller_.Remove(fd_, this);
    close(fd_);
  }
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

  void Start() {
    itimerspec when{};
    when.it_value.tv_nsec = kTick.count();
    MOKV_CHECK_EQ(timerfd_settime(fd_, 0, &when, nullptr), 0);
  }
  // Whether it has ticked since this was last asked.
  bool TakeTick() { return std::exchange(ticked_, false); }

 private:
  void OnReady(uint32_t) override { ticked_ = true; }

  Poller& poller_;
  const int fd_;
  bool ticked_ = false;
};

void NameThisThread(const std::string& name) { pthread_setname_np(pthread_self(), name.c_str()); }

}  // namespace

class IoThread::Impl {
 public:
  Impl(size_t index, std::string name)
      : index(index),
        name(std::move(name)),
        context(1),
        work(asio::make_work_guard(context)),
        poller(context),
        ticker(poller) {}

  const size_t index;
  const std::string name;
  asio::io_context context;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  Poller poller;
  Ticker ticker;
  HandshakeBudget handshakes;
  std::vector<Task> turn_end;
  std::vector<std::shared_ptr<void>> retired;
  std::atomic<bool> stopping{false};

  // Its sockets or its tasks had something for it a moment ago: it waits for these alone, which takes
  // one system call a turn. At rest it waits through Asio, which takes three.
  bool busy = false;
  bool worked = false;         // Since the last tick.
  bool asio_has_more = false;  // For the next turn.

  Mutex mutex;
  std::vector<Task> posted ABSL_GUARDED_BY(mutex);
  bool asleep ABSL_GUARDED_BY(mutex) = false;  // Who posts must wake it.
  std::vector<Task> running;  // Swapped with `posted`, so that both keep their capacity.

  // False: there are tasks, and it must not.
  bool FallAsleep() {
    MutexLock lock(mutex);
    asleep = posted.empty();
    return asleep;
  }

  // Whether there were any.
  bool RunPosted() {
    {
      MutexLock lock(mutex);
      asleep = false;
      running.swap(posted);
    }
    const bool any = !running.empty();
    for (Task& task : running) task();
    running.clear();
    return any;
  }

  void Turn() {
    TakeDueHandshakes();
    const bool may_wait = FallAsleep() && !asio_has_more && !handshakes.has_waiters();
    size_t events = 0;
    if (busy) {
      events = poller.Poll(may_wait);
    } else if (may_wait) {
      poller.WatchThroughAsio();
      context.run_one();
      if (!poller.asio_watches()) events = poller.Poll(false);
    }
    const bool ticked = ticker.TakeTick();
    if (ticked) --events;
    const bool ran = RunPosted();
    if (ran || events > 0) worked = true;
    if (ticked || asio_has_more) LookAfterAsio();
    if (!busy || ticked) {
      busy = std::exchange(worked, false);
      if (busy) ticker.Start();
    }
  }

  void TakeDueHandshakes() {
    handshakes.BeginTurn();
    while (HandshakeBudget::Waiter* waiter = handshakes.TakeDue()) {
      waiter->Step();
      worked = true;
    }
  }

  void LookAfterAsio() {
    int handlers = 0;
    while (handlers < kHandlersPerTurnMax && context.poll_one() != 0) ++handlers;
    asio_has_more = handlers == kHandlersPerTurnMax;
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
  bool was_asleep;
  {
    MutexLock lock(impl_->mutex);
    impl_->posted.push_back(std::move(task));
    was_asleep = std::exchange(impl_->asleep, false);
  }
  if (was_asleep) impl_->poller.Wake();
}

size_t IoThread::index() const { return impl_->index; }
bool IoThread::IsCurrent() const { return current_thread == this; }
void IoThread::AtTurnEnd(Task task) { impl_->turn_end.push_back(std::move(task)); }
void IoThread::Retire(std::shared_ptr<void> object) { impl_->retired.push_back(std::move(object)); }
asio::io_context& IoThread::context() { return impl_->context; }
Poller& IoThread::poller() { return impl_->poller; }
HandshakeBudget& IoThread::handshakes() { return impl_->handshakes; }

void IoThread::Run() {
  current_thread = this;
  NameThisThread(impl_->name);
  while (!impl_->stopping.load(std::memory_order_acquire)) {
    impl_->Turn();
    impl_->EndTurn();
  }
  impl_->EndTurn();
  current_thread = nullptr;
}

void IoThread::Stop() {
  impl_->stopping.store(true, std::memory_order_release);
  impl_->poller.Wake();
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
