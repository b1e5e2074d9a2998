// Streams: the TCP side of an agent: one message each way, then the connection is closed.
//
// Threads: confined to its I/O thread. Only Open is for another one, before that thread uses it.
// Owner:   whoever opened it must Close it; the callbacks are not called after that.
// Bounds:  Limits. Connections beyond them are closed unread, and counted.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>

#include "base/clock.h"
#include "net/io_pool.h"
#include "serf/endpoint.h"

namespace mokv::serf {

class Streams : public std::enable_shared_from_this<Streams> {
 public:
  struct Limits {
    size_t inbound_max = 64;
    size_t inbound_bytes_max = size_t{32} << 20;  // Held by all of them together.
    Duration timeout = std::chrono::seconds(10);  // Of an inbound stream, from accept to close.
  };
  // The answer to a whole message, or nullopt to close without one.
  using OnRequest = std::function<std::optional<std::string>(std::string_view message)>;
  using OnReply = std::function<void(absl::StatusOr<std::string> message)>;

  static absl::StatusOr<std::shared_ptr<Streams>> Open(net::IoThread& thread, const Endpoint& bind,
                                                       const Limits& limits);

  void Start(OnRequest on_request);
  // Connects, sends, and collects the answer. `on_reply` is called exactly once, unless Close comes
  // before.
  void Exchange(const Endpoint& to, std::string bytes, Duration timeout, OnReply on_reply);
  void Close();

  uint16_t port() const { return port_; }
  uint64_t refused() const { return refused_; }

 private:
  struct Connection;
  using ConnectionPtr = std::shared_ptr<Connection>;

  Streams(net::IoThread& thread, const Limits& limits);
  absl::Status Listen(const Endpoint& bind);
  void Accept();
  void Admit(asio::ip::tcp::socket socket);
  void Read(const ConnectionPtr& connection);
  void OnRead(const ConnectionPtr& connection, size_t bytes);
  void OnMessage(const ConnectionPtr& connection);
  void Write(const ConnectionPtr& connection);
  void SetTimeout(const ConnectionPtr& connection, Duration timeout);
  void Finish(const ConnectionPtr& connection, absl::Status reason);

  asio::io_context& context_;
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  const Limits limits_;
  OnRequest on_request_;
  std::set<ConnectionPtr> connections_;
  size_t inbound_ = 0;
  size_t inbound_bytes_ = 0;
  uint16_t port_ = 0;
  uint64_t refused_ = 0;
};

}  // namespace mokv::serf
