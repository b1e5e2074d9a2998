// Greeter: connections that others have made, from their arrival to the end of the handshake.
//
// Owner:   the PeerNetwork.
// Threads: confined to the replica thread.
// Bounds:  Options::greeting_max connections, each for Options::handshake_timeout.
#pragma once

#include <absl/functional/any_invocable.h>

#include <map>
#include <memory>
#include <string_view>

#include "net/io_pool.h"
#include "peer/connection.h"
#include "peer/context.h"

namespace mokv::peer {

class Greeter final : private Connection::Owner {
 public:
  struct Callbacks {
    // Whether one more connection may be established.
    absl::AnyInvocable<bool(const Remote& remote, Purpose purpose)> has_room;
    // Whether another process of its identity is connected.
    absl::AnyInvocable<bool(const Remote& remote)> is_duplicate;
    // The other side has been told that it is welcome. The callee sets the connection's owner.
    absl::AnyInvocable<void(std::unique_ptr<Connection> connection, Remote remote, Purpose purpose)>
        welcome;
  };

  Greeter(Context& context, Callbacks callbacks);
  ~Greeter() override;

  void Accept(std::unique_ptr<net::Transport> transport, std::string_view first_bytes);
  // Closes all.
  void Stop();

 private:
  struct Guest {
    explicit Guest(net::IoThread& thread) : timer(thread) {}
    std::unique_ptr<Connection> connection;
    net::Timer timer;
  };

  void OnReady(Connection&) override {}
  absl::Status OnFrame(Connection& connection, const proto::Frame& frame,
                       std::string_view attachment) override;
  void OnClosed(Connection& connection, const absl::Status& reason) override;

  proto::HelloReply Answer(const Connection& connection, const proto::Frame& frame);
  void LogRefusal(const Connection& connection, const proto::Hello& hello,
                  const proto::HelloReply& reply);
  // Takes it from the guests.
  std::unique_ptr<Connection> Release(Connection& connection);
  void End(Connection& connection);

  Context& context_;
  Callbacks callbacks_;
  std::map<Connection*, Guest> guests_;
  // Anybody may connect under any name; a cluster has few.
  static constexpr size_t kToldMax = 64;
  std::map<std::string, std::string> told_;  // The refusal that was logged last, by name.
};

}  // namespace mokv::peer
