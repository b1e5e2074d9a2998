// Link: keeps one connection dialed to one member, for as long as it is one.
//
// An address is only a hint where the member may be; who answers proves over mutual TLS who it is.
// So all addresses that are known are tried in turn, and a wait comes only once each was tried.
//
// Owner:   the PeerNetwork, which also owns the connection once it is established.
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
    // `last_error()` is another one.
    virtual void OnLinkTrouble(raft::NodeId member) = 0;
    // The member is connected with another process of this node's identity, and refuses this one.
    virtual void OnRefusedAsDuplicate(raft::NodeId member, const absl::Status& reason) = 0;
  };

  // Dials at once.
  Link(Context& context, const raft::Member& member, Owner& owner);
  ~Link();

  // That of the configuration.
  const std::string& address() const { return address_; }
  // Where the connection that is established leads to.
  const std::string& connected_address() const { return connected_address_; }
  // Why the last attempts failed; empty once one has succeeded.
  const std::string& last_error() const { return last_error_; }

  // The configuration names another address. Closing what is established is the owner's.
  void SetAddress(const std::string& address);
  // Where else the member may be, the likeliest first: as gossip has it, or as it said itself.
  void SetHints(std::vector<std::string> hints);
  // Its connection is no more.
  void OnDisconnected();
  // The member has shown that it is up: no reason to wait any longer.
  void Hurry();

 private:
  enum class State { kWaiting, kDialing, kConnected };

  // An address has come or gone.
  void Restart();
  // All that are known, each once.
  std::vector<std::string> Addresses() const;
  void DialNow();
  void OnDialed(absl::StatusOr<Dial::Reached> reached);
  void Fail(const absl::Status& reason);
  // Doubles from attempt to attempt, and is half of it random.
  Duration NextDelay();
  void WaitAndDial(Duration delay);
  void DropDial();

  Context& context_;
  Owner& owner_;
  const Expected expected_;
  std::string address_;
  std::vector<std::string> hints_;
  size_t tried_ = 0;     // Of the addresses, since the last wait.
  std::string dialing_;  // The one that is being tried.
  std::string connected_address_;
  State state_ = State::kWaiting;
  std::unique_ptr<peer::Dial> dial_;
  net::Timer timer_;
  Duration delay_max_;  // Of the next wait.
  int attempts_ = 0;    // Since the last good connection.
  MonotonicTime connected_at_;
  std::string last_error_;
  // A member has an address or two; more are the traces of many moves.
  static constexpr size_t kToldMax = 16;
  std::map<std::string, std::string> told_;  // Why it failed, as it was logged, by address.
};

}  // namespace mokv::peer
