// I/O threads: each runs one Asio context alone and owns its connections.
//
// Threads: Post is thread-safe. Everything else of an IoThread is confined to it, unless said. An
//          IoPool is confined to the thread that made it, but for size and thread.
// Bounds:  the queue of posted tasks holds what connections and the replica owe; each of these is
//          bounded where it is made (calls per connection, proposals in flight).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "net/handshake_budget.h"

namespace asio {
class io_context;
}

namespace mokv::net {

class Poller;

class IoThread final : public Executor {
 public:
  // `name` (up to 15 characters) is what `ps` and debuggers show.
  IoThread(size_t index, std::string name);
  ~IoThread() override;

  // Tasks posted by other threads run together, after one wake-up. Tasks do not starve sockets:
  // when a task posts another, and that one a third, the sockets that were ready at the first (as
  // many as Poller handles in a turn) are handled before the third.
  void Post(Task task) override;

  // Position in its pool; thread-safe.
  size_t index() const;
  bool IsCurrent() const;

  // `task` runs at the end of every turn of the loop, before the thread may block. Call before the
  // pool starts, or on the thread. Tasks stay for the thread's life and run in this order.
  void AtTurnEnd(Task task);

  // Deletes `object` when the current turn is over: for objects that end inside their own callback.
  template <typename T>
  void DeleteSoon(std::unique_ptr<T> object) {
    Retire(std::shared_ptr<void>(std::move(object)));
  }

  HandshakeBudget& handshakes();

  asio::io_context& context();
  Poller& poller();

 private:
  friend class IoPool;
  class Impl;

  void Retire(std::shared_ptr<void> object);
  void Run();
  void Stop();  // Thread-safe.

  std::unique_ptr<Impl> impl_;
};

class IoPool {
 public:
  // `size` threads, at least one; they begin to run with Start. They are named io-0, io-1 and so
  // on. A single one that has another job is named `name`.
  explicit IoPool(size_t size, const std::string& name = "");
  // Stops and joins.
  ~IoPool();

  void Start();
  // Lets the turn in progress end, then joins. Tasks posted later are dropped.
  void Stop();

  size_t size() const { return threads_.size(); }
  IoThread& thread(size_t index) { return *threads_[index]; }

 private:
  class Joinable;
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::vector<std::unique_ptr<Joinable>> running_;
};

// One-shot timer. Confined to its I/O thread; cancelled by its destructor.
class Timer {
 public:
  explicit Timer(IoThread& thread);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Replaces what was started before.
  void Start(Duration delay, Task task);
  void Cancel();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mokv::net
