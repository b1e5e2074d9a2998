// Server: gRPC over HTTP/2 on the I/O threads of a net::IoPool.
//
// A connection belongs to one I/O thread, and so do its calls: a handler that answers at once never
// leaves that thread and takes no lock. Handlers that need another thread defer (method.h).
//
// Threads: methods are added before the listener starts. Drain is called by the thread that owns
//          the pool; stats are thread-safe.
// Bounds:  Options names them. A call's request is buffered whole; its response streams.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "net/io_pool.h"
#include "net/listener.h"
#include "rpc/method.h"

namespace mokv::rpc {

// What is known of a call when it is over.
struct CallRecord {
  size_t io_thread = 0;
  size_t method = 0;      // Position in Server::method_paths(); kUnknownMethod otherwise.
  std::string_view path;  // As the client sent it.
  std::string_view subject;
  std::string_view peer_address;
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string_view message;
  Duration duration{0};
  uint64_t request_bytes = 0;  // Messages, without framing.
  uint64_t response_bytes = 0;
};
inline constexpr size_t kUnknownMethod = SIZE_MAX;

// Told of every call, on its I/O thread.
class CallObserver {
 public:
  virtual ~CallObserver() = default;
  virtual void OnCallFinished(const CallRecord& record) = 0;
};

// Thread-safe counters of one server.
struct ServerStats {
  std::atomic<uint64_t> connections_open{0};
  std::atomic<uint64_t> connections_total{0};
  std::atomic<uint64_t> connections_broken{0};  // HTTP/2 that does not parse, or breaks its rules.
  std::atomic<uint64_t> calls_open{0};
  std::atomic<uint64_t> streams_stalled{0};     // Ended: no progress for Options::stall_timeout.
  std::atomic<uint64_t> connections_silent{0};  // Closed: no answer to a PING.
};

class Server {
 public:
  struct Options {
    // A larger request is RESOURCE_EXHAUSTED, as gRPC has it; 4 MiB is what gRPC's own servers
    // take.
    uint64_t message_bytes_max = uint64_t{4} << 20;
    // Calls in progress on one connection; further ones wait at the client (HTTP/2, 5.1.2).
    uint32_t calls_per_connection_max = 1024;
    // Requests in assembly on one connection; the call that passes it is RESOURCE_EXHAUSTED.
    uint64_t assembly_bytes_max = uint64_t{64} << 20;
    // Header bytes of one call; gRPC's usual limit is 8 KiB.
    size_t header_bytes_max = size_t{16} << 10;
    // A call whose client neither sends nor takes a byte for so long, while the server waits for
    // it, is ended.
    Duration stall_timeout = std::chrono::seconds(60);
    // A client that has sent nothing for `keepalive_idle` is sent a PING; it must send something
    // within `keepalive_timeout`, or its connection is closed with all its calls.
    Duration keepalive_idle = std::chrono::seconds(60);
    Duration keepalive_timeout = std::chrono::seconds(20);
    // How long a client has to notice that the server is going away, in Drain.
    Duration goaway_notice = std::chrono::seconds(1);
  };

  // `observer` may be null and must outlive the pool's threads.
  Server(net::IoPool& pool, Options options, CallObserver* observer);
  // The pool must have stopped.
  ~Server();

  // `path` is /package.Service/Method.
  void AddUnary(std::string path, UnaryHandler handler);
  void AddServerStream(std::string path, ServerStreamHandler handler);

  // To be added to the listener.
  net::Protocol protocol();

  // Every connection is told to go away (GOAWAY) and closed when its calls are over, at the latest
  // after `grace`. Calls that clients send before they can know of it are served. Returns when all
  // connections are closed. Stop the listener first.
  void Drain(Duration grace);

  const std::vector<std::string>& method_paths() const;
  const ServerStats& stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mokv::rpc
