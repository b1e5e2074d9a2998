#include "raft/membership.h"

#include <algorithm>

#include "base/check.h"
#include "base/status.h"

namespace mokv::raft {
namespace {

bool Has(const Membership::Ids& ids, NodeId id) {
  return std::binary_search(ids.begin(), ids.end(), id);
}

void Insert(Membership::Ids& ids, NodeId id) {
  ids.insert(std::lower_bound(ids.begin(), ids.end(), id), id);
}

bool Erase(Membership::Ids& ids, NodeId id) {
  const auto at = std::lower_bound(ids.begin(), ids.end(), id);
  if (at == ids.end() || *at != id) return false;
  ids.erase(at);
  return true;
}

}  // namespace

Membership::Membership(std::string cluster_id, std::vector<Member> voters,
                       std::vector<Member> learners)
    : cluster_id_(std::move(cluster_id)) {
  for (Member& member : voters) {
    Insert(voters_, member.id);
    members_.emplace(member.id, std::move(member));
  }
  for (Member& member : learners) {
    Insert(learners_, member.id);
    members_.emplace(member.id, std::move(member));
  }
  MOKV_CHECK(CheckInvariant().ok());
}

const Member* Membership::Find(NodeId id) const {
  const auto at = members_.find(id);
  return at == members_.end() ? nullptr : &at->second;
}

bool Membership::IsVoter(NodeId id) const { return Has(voters_, id) || Has(outgoing_, id); }
bool Membership::IsIncomingVoter(NodeId id) const { return Has(voters_, id); }
bool Membership::IsLearner(NodeId id) const { return Has(learners_, id); }
bool Membership::WasRemoved(NodeId id) const {
  return std::find(removed_.begin(), removed_.end(), id) != removed_.end();
}

absl::StatusOr<Membership> Membership::Begin(absl::Span<const MemberChange> changes) const {
  if (joint()) return FailedPrecondition("a membership change is in progress");
  if (changes.empty()) return InvalidArgument("no change is named");
  Membership next = *this;
  for (size_t i = 0; i < changes.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (changes[i].member.id == changes[j].member.id) {
        return InvalidArgument("member {} is changed twice", changes[i].member.name);
      }
    }
    MOKV_RETURN_IF_ERROR(next.Apply(changes[i]));
  }
  if (next.voters_.empty()) return FailedPrecondition("no voter would be left");
  // The same voters mean the same majorities: only then is one step safe (§4.3).
  if (next.voters_ != voters_) {
    next.outgoing_ = voters_;
    Ids demoted;
    for (const NodeId id : next.learners_) {
      if (Has(voters_, id)) demoted.push_back(id);
    }
    for (const NodeId id : demoted) Erase(next.learners_, id);
    next.learners_next_ = std::move(demoted);
  }
  next.DropUnused();
  MOKV_CHECK(next.CheckInvariant().ok());
  return next;
}

absl::Status Membership::Apply(const MemberChange& change) {
  const NodeId id = change.member.id;
  if (change.kind == MemberChange::Kind::kAddLearner) return AddLearner(change.member);
  const auto found = members_.find(id);
  if (found == members_.end()) {
    return MakeStatus(absl::StatusCode::kNotFound, "{} is not a member", change.member.name);
  }
  Member& member = found->second;
  switch (change.kind) {
    case MemberChange::Kind::kAddLearner:
      break;
    case MemberChange::Kind::kPromote:
      if (!Erase(learners_, id)) return FailedPrecondition("{} is no learner", member.name);
      member.promote_when_caught_up = false;
      Insert(voters_, id);
      break;
    case MemberChange::Kind::kDemote:
      if (!Erase(voters_, id)) return FailedPrecondition("{} is no voter", member.name);
      member.promote_when_caught_up = false;
      Insert(learners_, id);
      break;
    case MemberChange::Kind::kRemove:
      // Its entry in members_ goes with DropUnused: the outgoing half may still need it.
      if (!Erase(voters_, id)) MOKV_CHECK(Erase(learners_, id));
      if (change.for_good) {
        if (removed_.size() == kRemovedMax) removed_.erase(removed_.begin());
        removed_.push_back(id);
      }
      break;
    case MemberChange::Kind::kUpdate:
      member.rpc_address = change.member.rpc_address;
      member.priority = change.member.priority;
      member.promote_when_caught_up = change.member.promote_when_caught_up && IsLearner(id);
      break;
  }
  return absl::OkStatus();
}

absl::Status Membership::AddLearner(const Member& member) {
  if (member.id == NodeId() || member.name.empty()) return InvalidArgument("a member has no name");
  for (const auto& [id, existing] : members_) {
    // A wiped node under its old name waits until the old one has been removed: two members with
    // one name could not be told apart by those who dial them.
    if (existing.name == member.name && existing.instance_id != member.instance_id) {
      return MakeStatus(absl::StatusCode::kAlreadyExists,
                        "{} is a member with another instance id ({}); remove that one first",
                        member.name, existing.instance_id);
    }
    if (id == member.id) {
      return MakeStatus(absl::StatusCode::kAlreadyExists, "{} is a member already", member.name);
    }
  }
  members_.emplace(member.id, member);
  Insert(learners_, member.id);
  std::erase(removed_, member.id);
  return absl::OkStatus();
}

Membership Membership::LeaveJoint() const {
  MOKV_CHECK(joint());
  Membership next = *this;
  next.outgoing_.clear();
  for (const NodeId id : learners_next_) Insert(next.learners_, id);
  next.learners_next_.clear();
  next.DropUnused();
  MOKV_CHECK(next.CheckInvariant().ok());
  return next;
}

void Membership::DropUnused() {
  std::erase_if(members_, [this](const auto& item) {
    return !IsVoter(item.first) && !IsLearner(item.first);
  });
}

absl::Status Membership::CheckInvariant() const {
  if (voters_.empty()) return InvalidArgument("no voter");
  for (const Ids* ids : {&voters_, &outgoing_, &learners_, &learners_next_}) {
    if (std::adjacent_find(ids->begin(), ids->end(), std::greater_equal<>()) != ids->end()) {
      return InvalidArgument("a member is named twice");
    }
    for (const NodeId id : *ids) {
      if (id == NodeId() || !Contains(id)) return InvalidArgument("a member has no id");
    }
  }
  for (const NodeId id : learners_) {
    if (IsVoter(id)) return InvalidArgument("a member is voter and learner");
  }
  for (const NodeId id : learners_next_) {
    if (!Has(outgoing_, id) || Has(voters_, id)) {
      return InvalidArgument("a learner to be is no outgoing voter");
    }
  }
  return absl::OkStatus();
}

}  // namespace mokv::raft
