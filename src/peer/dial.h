// Dial: one attempt to reach a node, from resolving its name to the end of the handshake.
//
// Owner:   a Link, to stay connected; the PeerNetwork, to ask who is there.
// Threads: confined to the replica thread.
// Bounds:  Options::handshake_timeout for all of it.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>

#include <memory>
#include <string>

#include "net/address.h"
#include "net/connector.h"
#include "net/io_pool.h"
#include "peer/connection.h"
#include "peer/context.h"
#include "peer/handshake.h"

namespace mokv::peer {

class Dial final : private Connection::Owner {
 public:
  struct Reached {
    std::unique_ptr<Connection> connection;  // Whoever takes it sets its owner at once.
    Remote remote;
  };
  // UNAVAILABLE: nobody answered in time. FAILED_PRECONDITION: whoever answered speaks another
  // protocol, refuses this node, is refused by it, or is somebody else.
  using Done = absl::AnyInvocable<void(absl::StatusOr<Reached> reached)>;

  // For kIdentify `expected` is not looked at.
  Dial(Context& context, net::HostPort target, Expected expected, Purpose purpose, Done done);
  ~Dial() override;

  // Calls `done` once, later. Inside that call the Dial may be deleted with DeleteSoon only.
  void Start();
  // Gives up; `done` is not called any more.
  void Cancel();

  // Whether the name was resolved but nobody listened there. To try that again costs little.
  bool nobody_listened() const { return nobody_listened_; }
  // Whether it was refused because another process of this node's identity is connected there.
  bool refused_as_duplicate() const { return refused_as_duplicate_; }

 private:
  void OnReady(Connection& connection) override;
  absl::Status OnFrame(Connection& connection, const proto::Frame& frame,
                       std::string_view attachment) override;
  void OnClosed(Connection& connection, const absl::Status& reason) override;

  void Fail(absl::Status reason);
  void Finish(absl::StatusOr<Reached> reached);

  Context& context_;
  const net::HostPort target_;
  const Expected expected_;
  const Purpose purpose_;
  Done done_;
  net::Connector connector_;
  net::Timer timer_;
  std::unique_ptr<Connection> connection_;
  bool nobody_listened_ = false;
  bool refused_as_duplicate_ = false;
};

}  // namespace mokv::peer
