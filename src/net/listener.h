// Listener: accepts connections, gives each to the I/O thread that has the fewest, and finds out which
// protocol each one speaks: by ALPN over TLS, by its first bytes in clear.
//
// Threads: made, stopped and destroyed by the thread that owns the pool; `stats` is thread-safe.
//          It or the pool must have been stopped before it is destroyed.
// Bounds:  Options names them.
#pragma once

#include <absl/status/statusor.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/address.h"
#include "net/io_pool.h"
#include "net/tls.h"
#include "net/transport.h"

namespace mokv::net {

// One protocol of the port.
struct Protocol {
  std::string alpn;
  // In clear: the bytes that every connection of this protocol begins with.
  std::string clear_prefix;
  // Takes over an established transport, on its I/O thread. `first_bytes` were read already.
  std::function<void(std::unique_ptr<Transport> transport, std::string_view first_bytes)> accept;
};

struct ListenerStats {
  std::atomic<uint64_t> accepted{0};
  std::atomic<uint64_t> refused_full{0};       // Over Options::connections_max.
  std::atomic<uint64_t> handshakes_failed{0};  // TLS refused, or the client went away during it.
  std::atomic<uint64_t> handshakes_timed_out{0};
  std::atomic<uint64_t> handshakes_crowded_out{0};  // Over Options::handshakes_max.
  std::atomic<uint64_t> protocols_unknown{0};       // Garbage, HTTP/1.1, no ALPN.
  std::atomic<uint64_t> closed_early{0};            // Closed before any byte: a port scan.
  std::atomic<uint64_t> accepts_failed{0};          // No descriptors were left.
  std::atomic<uint64_t> turned_away{0};             // Waited for one in vain.
};

class Listener {
 public:
  struct Options {
    HostPort address;                       // Port 0: the system picks one; see port().
    std::shared_ptr<const TlsContext> tls;  // Null: clear text, for good.
    // Connections whose protocol is known, each of which costs a descriptor and some kilobytes.
    size_t connections_max = 10'000;
    // Those whose protocol is not known yet; a thread has its part of them. They are none of the others,
    // so that silent ones take nobody's place. The oldest makes room for the newest: who means it is
    // through within some round trips, while others come; who does not is old.
    // Thousands of clients that all come back at once, after a restart, must not push each other out.
    size_t handshakes_max = 8'192;
    // From accept to a known protocol; a client that stalls must not hold a connection for longer.
    Duration handshake_timeout = std::chrono::seconds(10);
    // For how long clients wait, not accepted, while the process has no descriptors; then they are
    // turned away, and may try another server.
    Duration accept_patience = std::chrono::seconds(1);
  };

  // Binds and listens; accepts once Start is called. Fails naming the address.
  static absl::StatusOr<std::unique_ptr<Listener>> Bind(IoPool& pool, Options options);
  ~Listener();

  // Before Start only.
  void AddProtocol(Protocol protocol);
  void Start();
  // When this returns no connection is accepted any more. Established ones stay; those whose
  // protocol is not known yet are closed. Not from an I/O thread; the pool must still run.
  void Stop();

  // For connections that come from now on, and those that are not established yet. Thread-safe.
  void SetTls(std::shared_ptr<const TlsContext> tls);

  uint16_t port() const;
  const ListenerStats& stats() const;

 private:
  class Impl;
  explicit Listener(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace mokv::net
