// Link: keeps one connection dialed to one member, for as long as it is one.
//
// Owner:   the PeerNetwork, which also owns the connection once it is established.
// Threads: confined to the replica thread.
#pragma once

#include <memory>
#include <string>

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
  };

  // Dials at once.
  Link(Context& context, const raft::Member& member, Owner& owner);
  ~Link();

  const std::string& address() const { return address_; }
  // Why the last attempts failed; empty once one has succeeded.
  const std::string& last_error() const { return last_error_; }

  // The member moved. What is under way to the old address is given up; closing what is established
  // is the owner's.
  void SetAddress(const std::string& address);
  // Its connection is no more.
  void OnDisconnected();
  // The member has shown that it is up: no reason to wait any longer.
  void Hurry();

 private:
  enum class State { kWaiting, kDialing, kConnected };

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
  State state_ = State::kWaiting;
  std::unique_ptr<peer::Dial> dial_;
  net::Timer timer_;
  Duration delay_max_;  // Of the next wait.
  int attempts_ = 0;    // Since the last good connection.
  MonotonicTime connected_at_;
  std::string last_error_;
};

}  // namespace mokv::peer
