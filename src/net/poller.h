// Poller: readiness of many sockets on one I/O thread.
//
// A level-triggered epoll set of our own. A busy thread waits for it directly; a thread at rest lets Asio
// wait for its descriptor, beside what Asio has itself (docs/decisions/0016-busy-threads.md).
//
// Threads: confined to its I/O thread.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <memory>

namespace asio {
class io_context;
}

namespace mokv::net {

class Poller {
 public:
  class Target {
   public:
    virtual ~Target() = default;
    // `events`: EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP. May remove this or any other target.
    virtual void OnReady(uint32_t events) = 0;
  };

  // `context` is the thread's.
  explicit Poller(asio::io_context& context);
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Handles the sockets that are ready; with `wait` waits for one, or for Wake. Returns how many events
  // there were, Wake's among them.
  size_t Poll(bool wait);
  // Asio's context gets something to run once Poll would find something, or Wake was called.
  void WatchThroughAsio();
  // Whether it has not run yet.
  bool asio_watches() const { return asio_watches_; }
  // Ends a Poll that waits, or the next one. Thread-safe.
  void Wake();

  // `target` must stay until it is removed. `events`: EPOLLIN and/or EPOLLOUT, and EPOLLET.
  void Add(int fd, uint32_t events, Target* target);
  void Modify(int fd, uint32_t events, Target* target);
  void Remove(int fd, Target* target);

 private:
  // Sockets handled before Asio's own work (timers, posted tasks) gets its turn.
  static constexpr size_t kEventsPerTurnMax = 128;

  class Impl;
  std::unique_ptr<Impl> impl_;
  bool asio_watches_ = false;
  std::array<epoll_event, kEventsPerTurnMax> events_;
  size_t next_event_ = 0;   // Of the turn in progress.
  size_t event_count_ = 0;  // Of the turn in progress.
};

}  // namespace mokv::net
