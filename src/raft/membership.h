// Membership: a configuration of the cluster (§4), and the algebra of changing it.
//
// A simple configuration has voters and learners. A joint one (§4.3) has two sets of voters, and
// elections, commits and read rounds need a majority of each. Begin() makes the configuration that
// starts a change, joint if the set of voters changes; LeaveJoint() the one that ends it.
//
// Threads:   a plain value; what the log holds is shared and never changed.
// Invariant: voters() is not empty; no id is in two of voters(), learners(); learners_next() only
//            while joint, and a subset of outgoing(); every id has a Member.
#pragma once

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "raft/types.h"

namespace mokv::raft {

inline constexpr uint32_t kPriorityDefault = 1;
// A voter that never leads.
inline constexpr uint32_t kPriorityNever = 0;

struct Member {
  NodeId id;
  std::string name;
  std::string instance_id;
  std::string rpc_address;
  uint32_t priority = kPriorityDefault;
  bool promote_when_caught_up = false;  // Of a learner.

  bool operator==(const Member&) const = default;
};

struct MemberChange {
  enum class Kind {
    kAddLearner,  // `member`, whose id and name must be new.
    kPromote,     // The learner `member.id` becomes a voter.
    kDemote,      // The voter `member.id` becomes a learner.
    kRemove,      // `member.id` goes.
    kUpdate,      // Address, priority and promotion of `member.id` become those of `member`.
  };
  Kind kind = Kind::kAddLearner;
  Member member;
  // Of kRemove: an operator's decision, to be remembered; see Membership::removed().
  bool for_good = false;
};

class Membership {
 public:
  // Far more nodes than ever come back by mistake; each costs 8 bytes of every configuration.
  static constexpr size_t kRemovedMax = 256;

  using Ids = std::vector<NodeId>;  // Sorted.

  // Nobody: a node that waits to be joined.
  Membership() = default;
  // A first configuration. CHECKs that there is a voter and that ids differ.
  Membership(std::string cluster_id, std::vector<Member> voters, std::vector<Member> learners = {});

  // From an entry's payload. INVALID_ARGUMENT if it is no configuration or breaks the invariant.
  static absl::StatusOr<Membership> Decode(std::string_view bytes);
  // The same bytes for the same configuration on every node.
  std::string Encode() const;

  bool empty() const { return members_.empty(); }
  bool joint() const { return !outgoing_.empty(); }
  const std::string& cluster_id() const { return cluster_id_; }
  const std::map<NodeId, Member>& members() const { return members_; }
  const Ids& voters() const { return voters_; }      // Incoming, while joint.
  const Ids& outgoing() const { return outgoing_; }  // Empty unless joint.
  const Ids& learners() const { return learners_; }
  const Ids& learners_next() const { return learners_next_; }
  // Nodes that were removed for good, the latest last, at most kRemovedMax. Code that adds members
  // by itself (gossip) must leave them out. Adding one by hand takes it off this list.
  const Ids& removed() const { return removed_; }
  bool WasRemoved(NodeId id) const;

  const Member* Find(NodeId id) const;
  bool Contains(NodeId id) const { return Find(id) != nullptr; }
  // Whether its vote is needed, in either half.
  bool IsVoter(NodeId id) const;
  bool IsIncomingVoter(NodeId id) const;
  bool IsLearner(NodeId id) const;

  // The first configuration of a change that makes all `changes` at once. FAILED_PRECONDITION while
  // joint; NOT_FOUND, ALREADY_EXISTS or INVALID_ARGUMENT say what is wrong with a change.
  absl::StatusOr<Membership> Begin(absl::Span<const MemberChange> changes) const;
  // What a joint configuration ends in. CHECKs joint().
  Membership LeaveJoint() const;

  bool operator==(const Membership&) const = default;

 private:
  absl::Status Apply(const MemberChange& change);
  absl::Status AddLearner(const Member& member);
  absl::Status CheckInvariant() const;
  void DropUnused();

  std::string cluster_id_;
  std::map<NodeId, Member> members_;
  Ids voters_;
  Ids outgoing_;
  Ids learners_;
  Ids learners_next_;
  Ids removed_;  // In the order of their removal.
};

// Entry 1 of a new cluster's log: committed from the start, since every first voter begins with it.
Entry InitialEntry(const Membership& membership);

}  // namespace mokv::raft
