#include "replica/status_board.h"

#include <algorithm>
#include <utility>

namespace mokv::replica {

std::string NameOf(const raft::Membership& membership, raft::NodeId id) {
  const raft::Member* member = membership.Find(id);
  return member == nullptr ? std::string() : member->name;
}

bool StatusBoard::SetMembership(std::shared_ptr<const raft::Membership> membership) {
  const MutexLock lock(mutex_);
  const bool changed = membership->cluster_id() != membership_->cluster_id();
  membership_ = std::move(membership);
  return changed;
}

void StatusBoard::Fill(const raft::Core& core, SnapshotReport snapshots,
                       std::vector<StateDigest> digests, MonotonicTime now) {
  const raft::Membership& membership = *core.membership();
  Report report{.role = core.role(),
                .is_member = membership.Contains(core.id()),
                .leader = NameOf(membership, core.leader()),
                .lost_through = core.lost_through().index,
                .snapshots = std::move(snapshots),
                .digests = std::move(digests)};
  for (const auto& [id, progress] : core.progress()) {
    report.peers.push_back({.name = NameOf(membership, id),
                            .match = progress.match(),
                            .lag_entries = core.log().last().index - progress.match(),
                            .lost_through = progress.lost_through(),
                            .alive = now - progress.last_response < election_timeout_});
  }
  auto settled = core.log().SettledMembership(core.commit());
  report.is_learner = report.is_member && !settled->IsVoter(core.id());
  const MutexLock lock(mutex_);
  report_ = std::move(report);
  settled_membership_ = std::move(settled);
}

Report StatusBoard::report() const {
  Report report;
  {
    const MutexLock lock(mutex_);
    report = report_;
  }
  report.counters = counters_.Get();
  report.serving = serving_;
  report.term = Term(term_.load(std::memory_order_relaxed));
  report.last_index = Index(last_index_.load(std::memory_order_relaxed));
  return report;
}

std::string StatusBoard::cluster_id() const {
  const MutexLock lock(mutex_);
  return membership_->cluster_id();
}

ClusterView StatusBoard::View(Index applied, Index commit) const {
  const MutexLock lock(mutex_);
  ClusterView view{.cluster_id = membership_->cluster_id(),
                   .term = Term(term_.load(std::memory_order_relaxed)),
                   .leader = report_.leader};
  for (const auto& [id, member] : membership_->members()) {
    ClusterMember shown{.name = member.name,
                        .instance_id = member.instance_id,
                        .rpc_address = member.rpc_address,
                        .is_voter = settled_membership_->IsVoter(id),
                        .is_leader = member.name == report_.leader};
    if (id == own_) shown.applied_index = applied;
    for (const PeerProgress& peer : report_.peers) {
      if (peer.name == member.name) shown.applied_index = std::min(peer.match, commit);
    }
    view.members.push_back(std::move(shown));
  }
  std::sort(view.members.begin(), view.members.end(),
            [](const ClusterMember& a, const ClusterMember& b) { return a.name < b.name; });
  return view;
}

std::string_view RoleText(const Report& report) {
  if (report.role == raft::Role::kLeader) return "leader";
  if (!report.is_member) return "none";
  if (report.is_learner) return "learner";
  return report.role == raft::Role::kFollower ? "follower" : "candidate";
}

}  // namespace mokv::replica
