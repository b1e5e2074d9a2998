// Administration: requests to change the cluster, from the moment they are made until they are
// answered: put to the core where this node leads, passed on to the leader otherwise, tried again
// while leadership or another change is in the way.
//
// A member is added in two steps: whoever is at the address is asked who it is, and what it says
// becomes a learner, which the core promotes once it has caught up. Where a member of that name is
// known, and the node says that it was rebuilt in that one's place, the old one is removed between
// the two: for good, and only if it is silent. So a node never votes as who it was before it lost
// what it had promised.
//
// Threads: confined to the replica thread. Bounds: kCallsMax.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/functional/function_ref.h>
#include <absl/status/status.h>

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "raft/core.h"
#include "replica/peers.h"

namespace mokv::replica {

// OK: done and committed. `fate_unknown`: it may have been done, or may still be.
using AdminDone = absl::AnyInvocable<void(const absl::Status& status, bool fate_unknown)>;

struct AdminCall {
  AdminRequest request;
  MonotonicTime give_up_at;
  // It need not wait longer than this for a leader to be there at all.
  MonotonicTime leader_by = MonotonicTime::Max();
  bool from_peer = false;  // Asks no third node.
  bool only_here = false;  // Means this node's leadership alone; OK if it has none.
  AdminDone done;
};

class Administration {
 public:
  // Operators are few; more than this are a mistake.
  static constexpr size_t kCallsMax = 256;

  // `wake`: something has come, by a callback, that Route should look at. A member that the leader
  // has not heard for an election timeout is silent.
  Administration(std::function<void()> wake, Duration election_timeout)
      : wake_(std::move(wake)), election_timeout_(election_timeout) {}
  ~Administration() { *self_ = nullptr; }
  Administration(const Administration&) = delete;
  Administration& operator=(const Administration&) = delete;

  void Add(AdminCall call);
  // Does what can be done now. What comes back is for the core, in this turn. `next_id` numbers
  // requests and forwards.
  std::vector<raft::Event> Route(const raft::Core& core, Peers& peers, MonotonicTime now,
                                 absl::FunctionRef<uint64_t()> next_id);
  // What was refused for the moment is tried again.
  void Unblock();

  void OnChange(const raft::ChangeResult& result);
  void OnTransfer(const raft::TransferResult& result);
  void OnAnswer(ForwardId id, ConnectionId connection, const ForwardAnswer::Admin& answer);
  void OnClosed(ConnectionId connection);
  void Expire(MonotonicTime now, bool has_leader);
  // The node ends.
  void FailAll();

 private:
  enum class State {
    kWaiting,      // For a leader, or for its turn.
    kBlocked,      // Refused; until Unblock.
    kIdentifying,  // A new member is asked who it is.
    kAtCore,
    kAtLeader,  // Forwarded.
  };
  struct Pending {
    AdminCall call;
    State state = State::kWaiting;
    std::optional<PeerIdentity> identity;
    // What is at the core is the removal of the one that is replaced; the addition comes next.
    bool makes_room = false;
    uint64_t number = 0;   // Of the request to the core, or of the forward.
    absl::Status refusal;  // The last one that may pass.
    ConnectionId connection;
  };
  using Pendings = std::map<uint64_t, Pending>;

  std::optional<raft::Event> RouteHere(uint64_t key, Pending& pending, const raft::Core& core,
                                       Peers& peers, MonotonicTime now, uint64_t number);
  std::optional<raft::Event> RouteAddMember(uint64_t key, Pending& pending, const raft::Core& core,
                                            Peers& peers, MonotonicTime now, uint64_t number);
  // OK: `found` may take the place of `known`, a member of the same name.
  absl::Status CheckReplacement(const raft::Core& core, const raft::Member& known,
                                const PeerIdentity& found, const std::string& rpc_address,
                                MonotonicTime now) const;
  bool IsAlive(const raft::Core& core, raft::NodeId id, MonotonicTime now) const;
  void Forward(Pending& pending, const raft::Core& core, Peers& peers, MonotonicTime now,
               uint64_t number);
  void OnIdentity(uint64_t key, absl::StatusOr<PeerIdentity> identity);
  Pendings::iterator Find(State state, uint64_t number);
  void Settle(uint64_t number, const absl::Status& status, bool fate_unknown);
  // Answers it and forgets it.
  void Finish(Pendings::iterator at, const absl::Status& status, bool fate_unknown = false);

  std::function<void()> wake_;
  const Duration election_timeout_;
  Pendings pending_;  // In the order in which they came.
  uint64_t last_key_ = 0;
  // Outlives this object in callbacks of Identify.
  std::shared_ptr<Administration*> self_ = std::make_shared<Administration*>(this);
};

}  // namespace mokv::replica
