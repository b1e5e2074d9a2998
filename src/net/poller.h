// Poller: readiness of many sockets on one I/O thread.
//
// A level-triggered epoll set of our own whose descriptor is the only one that Asio watches. Asio's
// own wait on a socket costs one epoll_ctl for every read; this one costs it once a loop turn,
// however many connections were ready in it (docs/decisions/0003-poller.md).
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

  explicit Poller(asio::io_context& context);
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  void Start();

  // `target` must stay until it is removed. `events`: EPOLLIN and/or EPOLLOUT.
  void Add(int fd, uint32_t events, Target* target);
  void Modify(int fd, uint32_t events, Target* target);
  void Remove(int fd, Target* target);

 private:
  // Sockets handled before Asio's own work (timers, posted tasks) gets its turn.
  static constexpr size_t kEventsPerTurnMax = 128;

  void Wait();
  void Dispatch();

  class Impl;
  std::unique_ptr<Impl> impl_;
  std::array<epoll_event, kEventsPerTurnMax> events_;
  size_t next_event_ = 0;   // Of the turn in progress.
  size_t event_count_ = 0;  // Of the turn in progress.
};

}  // namespace mokv::net
