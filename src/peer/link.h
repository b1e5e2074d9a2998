// Link: keeps one connection, for one purpose, dialed to one node.
//
// An address is only a hint where the member may be; the node there proves over mutual TLS who it
// is. So all known addresses are tried in turn, and a wait comes only when each has been tried.
//
// Owner:   the PeerNetwork, or its SnapshotConnections, which also owns the connection once it is
//          established.
// Threads: confined to the replica thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "net/io_pool.h"
#include "peer/connection.h"
#include "peer/context.h"
#include "peer/dial.h"
#include "raft/membership.h"

namespace mokv::peer {

class Link {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void OnLinked(raft::NodeId member, std::unique_ptr<Connection> connection,
                          Remote remote) = 0;
    // `last_error()` has changed.
    virtual void OnLinkTrouble(raft::NodeId member) = 0;
    // The member is connected with another process of this node's identity, and refuses this one.
    virtual void OnRefusedAsDuplicate(raft::NodeId member, const absl::Status& reason) = 0;
  };

  // Dials at once.
  Link(Context& context, const raft::Member& member, Purpose purpose, Owner& owner);
  ~Link();

  // Whom it keeps connected.
  const Expected& expected() const { return expected_; }
  // The member's address in the configuration.
  const std::string& address() const { return address_; }
  // The address that the established connection was dialed at.
  const std::string& connected_address() const { return connected_address_; }
  // Why the last attempts failed; empty once one has succeeded.
  const std::string& last_error() const { return last_error_; }

  // The configuration names another address. An established connection is for the owner to close.
  void SetAddress(const std::string& address);
  // Where else the member may be, the likeliest first: as gossip has it, or as it said itself.
  void SetHints(std::vector<std::string> hints);
  // The established connection has ended.
  void OnDisconnected();
  // The member has shown that it is up: ends a wait.
  void Hurry();

 private:
  enum class State { kWaiting, kDialing, kConnected };

  // The addresses have changed: begins with the first.
  void Restart();
  // All known addresses, each once.
  std::vector<std::string> Addresses() const;
  void DialNow();
  void OnDialed(absl::StatusOr<Dial::Reached> reached);
  void Fail(const absl::Status& reason);
  // Doubles from attempt to attempt. Half of it is random.
  Duration NextDelay();
  void WaitAndDial(Duration delay);
  void DropDial();

  Context& context_;
  Owner& owner_;
  const Expected expected_;
  const Purpose purpose_;
  std::string address_;
  std::vector<std::string> hints_;
  size_t tried_ = 0;     // Of the addresses, since the last wait.
  std::string dialing_;  // The one that is being tried.
  std::string connected_address_;
  State state_ = State::kWaiting;
  std::unique_ptr<peer::Dial> dial_;
  net::Timer timer_;
  Duration delay_max_;  // For the next wait.
  int attempts_ = 0;    // Since the last good connection.
  MonotonicTime connected_at_;
  std::string last_error_;
  // A member has an address or two; more are the traces of many moves.
  static constexpr size_t kToldMax = 16;
  std::map<std::string, std::string> told_;  // The failure that was logged last, by address.
};

}  // namespace mokv::peer
