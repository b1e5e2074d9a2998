// Server: gRPC over HTTP/2 on the I/O threads of a net::IoPool.
//
// A connection belongs to one I/O thread, and so do its calls: a handler that answers at once never
// leaves that thread and takes no lock. Handlers that need another thread defer (call.h).
//
// Threads: methods are added before the listener starts. Drain is called by the thread that owns
//          the pool; stats are thread-safe.
// Bounds:  Options names them. The one message of a request is buffered whole; streams flow, in both
//          directions.
#pragma once

#include <absl/status/status.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "net/io_pool.h"
#include "net/listener.h"
#include "rpc/call.h"
#include "rpc/server_options.h"
#include "rpc/server_telemetry.h"

namespace mokv::rpc {

class Server {
 public:
  using Options = ServerOptions;

  // `observer` may be null and must outlive the pool's threads.
  Server(net::IoPool& pool, Options options, CallObserver* observer);
  // The pool must have stopped.
  ~Server();

  // `path` is /package.Service/Method.
  void AddUnary(std::string path, UnaryHandler handler);
  void AddServerStream(std::string path, ServerStreamHandler handler);
  void AddClientStream(std::string path, ClientStreamHandler handler);
  void AddBidi(std::string path, BidiHandler handler);

  // To be added to the listener.
  net::Protocol protocol();

  // Every connection is told to go away (GOAWAY) and closed when its calls are over, at the latest
  // after `grace`. Calls that clients send before they can know of it are served. Returns when all
  // connections are closed. Stop the listener first.
  void Drain(Duration grace);

  // Closes every connection whose client is not believed any more: for which `trusts` says no. It is
  // called on the I/O threads, later, once for each connection, and again when the certificate of one,
  // or what it stands on, comes to its end. Thread-safe. Without it a connection is closed then.
  using Trusts = std::function<absl::Status(const net::Transport& transport)>;
  void CloseDistrusted(Trusts trusts);

  const std::vector<std::string>& method_paths() const;
  const ServerStats& stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mokv::rpc
