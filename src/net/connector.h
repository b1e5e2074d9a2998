// Connector: connects to a host and port, one attempt at a time. Of several addresses of a name, to the first
// that answers (connect_race.h).
//
// Threads: confined to its I/O thread. Names are resolved on a thread of Asio's, literal addresses
//          without one.
// Bounds:  it has no timeout: the caller bounds the attempt, with what follows it.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>

#include <memory>

#include "net/address.h"
#include "net/io_pool.h"
#include "net/transport.h"

namespace mokv::net {

class Connector {
 public:
  // The transport has not been started yet. UNAVAILABLE says what could not be done.
  using Done = absl::AnyInvocable<void(absl::StatusOr<std::unique_ptr<Transport>> transport)>;

  explicit Connector(IoThread& thread);
  // Cancels.
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

  // Calls `done` later, never from inside. Ends an attempt that is under way. `tls` null: in clear.
  void Start(const HostPort& target, std::shared_ptr<const TlsContext> tls, Done done);
  // `done` will not be called any more.
  void Cancel();

  // Whether the last attempt knew an address to connect to.
  bool resolved() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mokv::net
