// Invariants: what must hold after every transition of every core, whatever the network, the disks
// and the clocks do. Fed by the test's cluster; the first violation is kept as text.
//
// Cluster-wide (figure 3 of the paper): election safety, leader append-only (by log matching), log
// matching, leader completeness, state machine safety ("what is committed never changes"); one vote
// a term, and a leader has those of a quorum; what leaves as a promise is durable; what is
// committed is durable on a quorum, and not by counting entries of an earlier term; one membership
// change in flight, and none before a commit in the own term; a read sees all that was committed
// when it was asked for. One node: term, vote, commit and match never fall within a life; base <=
// applied <= commit <= last.
//
// Majorities are counted here once more, since the core's own arithmetic is what is judged. The
// text of a violation begins with the name of the check and a colon.
//
// Threads: confined to the test's.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "raft/core.h"

namespace mokv::raft::testing {

// What a node has on its disk, all of it synced.
struct Disk {
  HardState hard_state;
  std::optional<SnapshotMeta> snapshot;
  Position base;               // The log begins after it.
  std::vector<Entry> entries;  // base.index + 1 and on.

  Position last() const {
    return entries.empty() ? base : Position{entries.back().index, entries.back().term};
  }
  bool Holds(Position position) const;
  void Write(const PersistRequest& request);
};

// Whether `holds` is true of a majority of the voters, while joint of both halves.
bool HeldByQuorum(const Membership& membership, const std::function<bool(NodeId)>& holds);

class Invariants {
 public:
  // Empty while all is well.
  const std::string& violation() const { return violation_; }
  // How far anything was ever committed anywhere.
  Index committed() const { return Index(committed_.size()); }

  // A new life: what only memory held may fall.
  void OnStart(const Core& core, const Disk& disk);
  void OnTransition(const Core& core);
  void OnPersist(const Core& core, const PersistRequest& request);
  void OnSend(const Core& core, const Message& message, const Disk& disk);
  // `holds`: whether a node has an entry on its disk.
  void OnCommitted(const Core& core, const std::vector<Entry>& entries,
                   const std::function<bool(NodeId, Position)>& holds);
  void OnRead(NodeId node, RequestId read);
  void OnReadResult(NodeId node, const ReadResult& result);

 private:
  struct Seen {
    Term previous_term;
    EntryType type;
    std::string payload;
  };
  struct Life {
    Term term;
    NodeId vote;
    Index commit;
    Role role = Role::kFollower;
    std::shared_ptr<const Membership> membership;
    std::map<NodeId, Index> match;
  };

  template <typename... Args>
  void Fail(fmt::format_string<Args...> format, Args&&... args) {
    if (violation_.empty()) violation_ = fmt::format(format, std::forward<Args>(args)...);
  }
  void CheckEntry(Position previous, const Entry& entry);
  void CheckNewLeader(const Core& core);
  void CheckLeader(const Core& core, Life& life);
  void CheckVote(NodeId voter, Term term, NodeId candidate);

  std::string violation_;
  std::map<NodeId, Life> lives_;
  std::map<Term, NodeId> leaders_;
  std::map<std::pair<Index, Term>, Seen> seen_;
  std::vector<Term> committed_;     // By index - 1.
  std::vector<Term> committed_in_;  // The term of who told so first: of the commit, or later.
  // Up to where leaders have committed beyond committed_, and by whose majorities they did.
  std::map<Index, std::shared_ptr<const Membership>> counted_by_;
  std::map<std::pair<NodeId, Term>, NodeId> votes_;
  std::map<std::pair<NodeId, RequestId>, Index> reads_;
};

}  // namespace mokv::raft::testing
