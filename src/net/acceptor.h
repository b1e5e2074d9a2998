// Acceptor: a listening socket, and what becomes of those who wait at it while the process has no
// descriptors left: they wait, since some may come back soon; then they are turned away, so that they
// can try elsewhere. Internal to net/; others use listener.h.
//
// Threads: confined to its I/O thread, but for Listen and port, which come before Start.
// Bounds:  the system keeps kBacklog connections that have not been accepted.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <chrono>
#include <cstdint>
#include <memory>

#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>

#include "net/address.h"
#include "net/io_pool.h"
#include "net/listener.h"

namespace mokv::net {

// Only its Listener owns it. Handlers that are still queued when the pool has stopped must not keep it
// alive: it would outlive the I/O thread that its socket belongs to.
class Acceptor : public std::enable_shared_from_this<Acceptor> {
 public:
  using Take = absl::AnyInvocable<void(int fd)>;

  // `patience`: for how long those who wait do, when descriptors have run out.
  Acceptor(IoThread& thread, Duration patience, ListenerStats& stats);
  ~Acceptor();

  // Fails naming the address.
  absl::Status Listen(const HostPort& address);
  uint16_t port() const { return port_; }

  // From now on `take` gets each connection, not blocking, and owns it.
  void Start(Take take);
  void Close();

 private:
  static constexpr int kBacklog = 1024;
  // At once, so that the thread's connections do not wait for long.
  static constexpr int kTurnedAwayAtOnceMax = 64;

  void Accept();
  void OnFailure(const asio::error_code& error);
  void OnSuccess();
  void TurnAway();
  void KeepSpare();

  Duration patience_;
  ListenerStats& stats_;
  asio::ip::tcp::acceptor socket_;
  asio::steady_timer pause_;
  uint16_t port_ = 0;
  Take take_;
  // A descriptor kept for the time when there is none: its place lets one connection in at a time,
  // only to end it. Negative: somebody else had it first.
  int spare_fd_ = -1;
  // While descriptors are short.
  bool short_ = false;
  std::chrono::steady_clock::time_point short_since_;
  std::chrono::steady_clock::time_point failed_at_;
  std::chrono::steady_clock::time_point warned_at_;
  uint64_t turned_away_before_ = 0;
};

}  // namespace mokv::net
