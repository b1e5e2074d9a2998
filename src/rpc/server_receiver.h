// ServerReceiver: what becomes of the requests of one connection, up to their handlers. The only
// place that decides what a kind of method wants of its request's bytes, and when its handler runs.
// Internal to the engine.
//
// The handler of a unary call or a server stream runs with its one whole message; that of a client
// stream or a bidirectional one when the head has come. Its messages are not the receiver's: the
// connection hands them to the handler's sink.
//
// Owner:   the connection.
// Threads: confined to its I/O thread. Pure: time comes in.
// Bounds:  ServerOptions: bytes of headers, of a message, and of all requests in assembly.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "rpc/compression.h"
#include "rpc/server_call.h"
#include "rpc/server_options.h"

namespace mokv::rpc {

class ServerReceiver {
 public:
  // What is to be done with the call now.
  enum class Next {
    kWait,    // For more of it, or for nothing: it has its answer.
    kRefuse,  // Its `status`, and `http_status`, are the answer.
    kHandle,  // Its handler is to run.
  };

  // `options` outlive it.
  explicit ServerReceiver(const ServerOptions& options) : options_(options) {}

  // In this order, for each call; OnData as often as bytes come, and none of them once the call is
  // closed.
  Next OnHead(ServerCall& call);
  Next OnData(ServerCall& call, std::string_view bytes, MonotonicTime now);
  Next OnEnd(ServerCall& call, MonotonicTime now);
  void OnClose(const ServerCall& call);

  // Of requests that came compressed, since it was last asked.
  UncompressedCost TakeUncompressedCost() { return std::exchange(uncompressed_, {}); }

 private:
  const ServerOptions& options_;
  uint64_t assembly_bytes_ = 0;  // Of the requests that have not ended.
  UncompressedCost uncompressed_;
};

}  // namespace mokv::rpc
