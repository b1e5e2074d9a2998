// Streams: the TCP side of an agent: one message each way, then the connection is closed.
//
// Threads: confined to its I/O thread. Only Open is for another one, before that thread uses it.
// Bounds:  Limits. Connections beyond them are closed unread, and counted.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "net/io_pool.h"
#include "serf/endpoint.h"

namespace mokv::serf {

class Streams {
 public:
  struct Limits {
    size_t inbound_max = 64;
    size_t inbound_bytes_max = size_t{32} << 20;  // Held by all of them together.
    Duration timeout = std::chrono::seconds(10);  // Of an inbound stream, from accept to close.
  };
  // The answer to a whole message, or nullopt to close without one.
  using OnRequest = std::function<std::optional<std::string>(std::string_view message)>;
  using OnReply = std::function<void(absl::StatusOr<std::string> message)>;

  static absl::StatusOr<std::unique_ptr<Streams>> Open(net::IoThread& thread, const Endpoint& bind,
                                                       const Limits& limits);
  ~Streams();

  void Start(OnRequest on_request);
  // Connects, sends, and collects the answer. `on_reply` is called exactly once, unless Close comes
  // before.
  void Exchange(const Endpoint& to, std::string bytes, Duration timeout, OnReply on_reply);
  void Close();

  uint16_t port() const;
  uint64_t refused() const;

 private:
  class Impl;
  explicit Streams(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace mokv::serf
