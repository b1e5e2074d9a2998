// Channel: a gRPC client's connection to one server, for calls of all four kinds, with deadlines.
//
// Connects with the first call, and again with the next call after the connection was lost. When
// connecting fails, calls fail with the same error until Backoff lets it be tried again; those that
// wait for ready wait. Nothing is retried: a call whose connection broke ends with UNAVAILABLE.
// CallEnd says whether the server may have begun it; when it may have, the message says
// `outcome unknown` to people.
//
// Threads: Call, CallStream and Open are thread-safe; callbacks and exchanges run on the I/O thread.
//          From there they may use the channel, and end it.
// Owner:   the I/O thread's pool must outlive the channel; the channel may go at any time, calls
//          that are open then end with CANCELLED.
// Bounds:  calls in progress: what the server allows (HTTP/2). At most calls_waiting_max others
//          wait; any further one ends with RESOURCE_EXHAUSTED. Memory: ClientCall's for each call,
//          ClientConnection's for all.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "net/io_pool.h"
#include "rpc/client_call.h"

namespace mokv::rpc {

class Channel {
 public:
  using Options = ChannelOptions;

  Channel(net::IoThread& thread, Options options);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // `method` is /package.Service/Method. A timeout of 0 means none.
  void Call(std::string method, std::string request, Duration timeout, UnaryDone done);
  void CallStream(std::string method, std::string request, Duration timeout, OnMessage on_message,
                  StreamDone done);
  // A call of any kind, with all that can be said and heard of it. `exchange` makes the requests, and
  // takes the answers. (A server that answers a unary call with several messages is the exchange's to
  // notice.) Metadata that is none (IsMetadata) is our own bug.
  CallHandle Open(std::string method, CallOptions options,
                  std::unique_ptr<ClientExchange> exchange);

 private:
  class Gate;
  class Impl;
  std::shared_ptr<Impl> impl_;
  std::shared_ptr<Gate> gate_;
};

}  // namespace mokv::rpc
