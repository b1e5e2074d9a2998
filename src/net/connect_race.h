// ConnectRace: connects to the first of several addresses that answers. They are tried in turns of IPv6 and
// IPv4, and the next one while those before are still silent (RFC 8305, 4 and 5): an address that nobody
// answers at, or a network that leads nowhere, would use up all the time that its caller has.
//
// Owner:   a Connector.
// Threads: confined to its I/O thread.
// Bounds:  kAddressesMax; it has no timeout of its own.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <vector>

#include <asio/ip/tcp.hpp>

#include "base/clock.h"
#include "net/io_pool.h"

namespace mokv::net {

// The same ones: the first stays, then families take turns for as long as there are both. Those of one
// family stay in their order.
std::vector<asio::ip::tcp::endpoint> InTurns(std::vector<asio::ip::tcp::endpoint> endpoints);

class ConnectRace : public std::enable_shared_from_this<ConnectRace> {
 public:
  // What RFC 8305 recommends: longer than a round trip around the world.
  static constexpr Duration kNextAfter = std::chrono::milliseconds(250);
  // The sockets of one attempt, after taking turns. To come to the last of so many silent ones takes eight seconds.
  static constexpr size_t kAddressesMax = 32;

  // A connected, non-blocking socket, or the last error and -1.
  using Done = absl::AnyInvocable<void(const asio::error_code& error, int fd)>;

  explicit ConnectRace(IoThread& thread) : thread_(thread), next_timer_(thread) {}

  // Once. Calls `done` later, never from inside. `endpoints` are at least one.
  void Start(std::vector<asio::ip::tcp::endpoint> endpoints, Done done);
  // `done` will not be called any more.
  void Cancel();

 private:
  using Sockets = std::list<asio::ip::tcp::socket>;

  void TryNext();
  void OnConnected(Sockets::iterator socket, const asio::error_code& error);
  void Finish(const asio::error_code& error, int fd);

  IoThread& thread_;
  std::vector<asio::ip::tcp::endpoint> endpoints_;
  size_t next_ = 0;
  // Each attempt has its own, until Asio has told of its end.
  Sockets sockets_;
  Timer next_timer_;
  Done done_;  // Null: it is over.
};

}  // namespace mokv::net
