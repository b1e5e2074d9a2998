// Rules: what the protocol demands of a node beyond safety (raft/testing/invariants.h), seen from
// outside: from what it was sent, what it sends and what is on its disk.
//
//   stickiness     no vote or pre-vote within an election timeout of hearing from a leader
//                  (§4.2.3), unless that leader hands over; with leases also not after a restart
//                  (§6.4.1)
//   check-quorum   a leader steps down if no quorum has answered it for an election timeout (§6.2)
//   transfer       TimeoutNow goes to a peer that has the whole log (§3.10)
//   match          what a leader takes for durable on a peer is on that peer's disk (§3.5)
//   configuration  the one in effect is the newest in the log (§4.1)
//   read           an answer sees everything committed when its request arrived (§6.4)
//   acknowledged   what a client was told to be done is in every later leader's log, and in the
//                  state at the end
//   equality       nodes that have applied the same index are in the same state (figure 3)
//
// The text of a violation begins with the rule's name and a colon.
//
// Threads: confined to the run's. Units: `local` is the node's own clock.
#pragma once

#include <fmt/format.h>

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "raft/core.h"
#include "raft/testing/invariants.h"

namespace mokv::sim {

class Rules {
 public:
  // Whether a node, living or wiped, has an entry on its disk; and a living one's core.
  using Holds = std::function<bool(raft::NodeId, raft::Position)>;
  using CoreOf = std::function<const raft::Core*(raft::NodeId)>;

  Rules(Duration election_timeout, bool leases, Holds holds, CoreOf core_of)
      : election_timeout_(election_timeout),
        leases_(leases),
        holds_(std::move(holds)),
        core_of_(std::move(core_of)) {}

  const std::string& violation() const { return violation_; }

  void OnStart(const raft::Core& core, const raft::testing::Disk& disk, MonotonicTime local);
  // Before the core is told.
  void OnReceive(const raft::Core& core, const raft::Message& message, MonotonicTime local);
  void OnConnectionClosed(const raft::Core& core, raft::NodeId peer);
  // After the core's turn.
  void OnPersist(const raft::Core& core, const raft::PersistRequest& request);
  void OnSend(const raft::Core& core, const raft::Message& message);
  void OnTurn(const raft::Core& core, MonotonicTime local, bool ticked, bool membership_changed);
  // After a tick, where the turn may have gone on with something else.
  void OnTicked(const raft::Core& core, MonotonicTime local);
  void OnRead(const raft::Core& core, Index seen, Index committed_before);
  // `digest`: of the state in which everything up to `applied` is.
  void OnApplied(raft::NodeId node, Index applied, uint64_t digest);
  // Of the state in which everything up to `applied` is; nothing: nobody has told.
  std::optional<uint64_t> DigestAt(Index applied) const;
  // A client was told that this entry is done.
  void OnAcknowledged(const raft::Core& core, raft::Position position);
  // Of a node that leads in the end: nothing that was acknowledged may be missing.
  void OnEnd(const raft::Core& core, Index applied);

 private:
  struct Configured {
    Index index;
    std::string bytes;
  };
  // Of one node in its present life.
  struct Seen {
    MonotonicTime started;
    // Of the leader that was heard last.
    bool heard_leader = false;
    MonotonicTime contact;
    Term contact_term;
    bool closed = false;
    // Requests that may be granted: (candidate, term).
    std::map<std::pair<raft::NodeId, Term>, bool> votes;
    std::map<std::pair<raft::NodeId, Term>, bool> pre_votes;
    // While it leads.
    Term leads;
    raft::Position last;  // Of its log after its last turn.
    std::map<raft::NodeId, MonotonicTime> answered;
    std::map<raft::NodeId, Index> match;
    std::deque<Configured> configurations;
  };

  template <typename... Args>
  void Fail(fmt::format_string<Args...> format, Args&&... args) {
    if (violation_.empty()) violation_ = fmt::format(format, std::forward<Args>(args)...);
  }
  bool IsBound(const raft::Core& core, const Seen& seen, Term term, MonotonicTime local) const;
  void CheckNewLeader(const raft::Core& core);
  void CheckGrant(const raft::Core& core, const raft::Message& message);
  void CheckPeers(const raft::Core& core, Seen& seen, MonotonicTime local);
  void CheckQuorum(const raft::Core& core, const Seen& seen, MonotonicTime local);

  Duration election_timeout_;
  bool leases_;
  Holds holds_;
  CoreOf core_of_;
  std::map<raft::NodeId, Seen> seen_;
  struct Acknowledged {
    Term term;
    Term in;  // Of the node that told so: of the commit, or later.
  };
  std::map<Index, Acknowledged> acknowledged_;
  std::vector<uint64_t> digests_;  // By applied index.
  std::vector<bool> applied_;
  std::string violation_;
};

}  // namespace mokv::sim
