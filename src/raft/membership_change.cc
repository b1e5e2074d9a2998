// Core: membership changes through joint consensus (§4.3). One mechanism for one change or many: a
// joint configuration, and when that is committed, the new one. If the set of voters stays the
// same, so do the majorities, and one step is enough.
#include "base/check.h"
#include "base/status.h"
#include "raft/core.h"
#include "raft/coverage.h"

namespace mokv::raft {

void Core::On(ChangeMembership change) {
  absl::Status status = WhyNotChange(change.changes);
  if (status.ok()) status = StartChange(change.changes);
  if (!status.ok()) {
    output_.changes.push_back({.request = change.request, .status = std::move(status)});
    return;
  }
  MOKV_CHECK(!change_.has_value());  // Else nobody would ever answer that one.
  change_ = change.request;
}

absl::Status Core::WhyNotChange(const std::vector<MemberChange>& changes) const {
  if (role_ != Role::kLeader) return Unavailable("this node does not lead");
  if (transfer_.has_value()) {
    VISITED(kChangeWhileTransferring);
    return Unavailable("leadership is being handed over");
  }
  if (ChangeInFlight()) {
    VISITED(kChangeInFlight);
    return Unavailable("another membership change is in progress");
  }
  // Ongaro's correction of 2015 to §4.1: before a leader has committed in its own term, an earlier
  // leader's change may still be alive that this one does not know of.
  if (!CommittedInTerm()) {
    VISITED(kChangeTooEarly);
    return Unavailable("this leader has committed nothing in its term yet");
  }
  for (const MemberChange& change : changes) {
    if (change.kind != MemberChange::Kind::kPromote) continue;
    // §4.2.1: a voter that lags would hold up commits.
    const auto peer = progress_.find(change.member.id);
    if (peer != progress_.end() && !peer->second.catch_up.done()) {
      VISITED(kChangeNotCaughtUp);
      return FailedPrecondition("{} has not caught up yet", change.member.name);
    }
  }
  return absl::OkStatus();
}

// §4.1: one at a time, from the appending of the first configuration to the commit of the last.
bool Core::ChangeInFlight() const {
  return membership()->joint() || log_.membership_index() > commit_;
}

absl::Status Core::StartChange(const std::vector<MemberChange>& changes) {
  MOKV_ASSIGN_OR_RETURN(const Membership next, membership()->Begin(changes));
  AppendMembership(next);
  return absl::OkStatus();
}

void Core::AppendMembership(const Membership& membership) {
  MOKV_CHECK(!membership.voters().empty());
  MOKV_CHECK(!transfer_.has_value());  // Its target must not fall behind.
  AppendAsLeader(EntryType::kConfiguration,
                 std::make_shared<const std::string>(membership.Encode()));
}

// "A server always uses the latest configuration in its log, regardless of whether the entry is
// committed" (§4.1): called when one was appended, or truncated away.
void Core::OnMembershipInEffect() {
  output_.membership_changed = true;
  if (role_ != Role::kLeader) return;
  for (const auto& [id, member] : membership()->members()) {
    if (id == options_.id) continue;
    progress_.try_emplace(id, log_.last().index.next(), now_);
  }
  if (transfer_.has_value() && !membership()->IsIncomingVoter(transfer_->target)) {
    FinishTransfer(Unavailable("the member that was to lead is no voter any more"));
  }
}

// The configuration in effect is committed, and so is everything before it.
void Core::OnMembershipCommitted() {
  MOKV_CHECK(role_ == Role::kLeader);
  MOKV_CHECK_LE(log_.membership_index(), commit_);
  if (membership()->joint()) {
    // §4.3: "once C_old,new has been committed ... it is now safe for the leader to create a log
    // entry describing C_new". During a transfer that waits: its target must not fall behind.
    if (transfer_.has_value()) {
      VISITED(kJointWaitsForTransfer);
      return;
    }
    AppendMembership(membership()->LeaveJoint());
    return;
  }
  FinishChange(absl::OkStatus(), false);
  // §4.2.2: a leader that is not part of C_new manages it without counting itself, and steps down
  // when C_new is committed.
  if (!membership()->IsVoter(options_.id)) {
    VISITED(kRemovedLeader);
    HandOverAndStepDown();
  }
}

// A removed peer is still sent entries, though not counted, until its removal is committed and it
// has had time to hear of it. Then it knows for certain, and does not go on asking for votes.
void Core::DropRemovedPeers() {
  if (log_.membership_index() > commit_) return;
  std::erase_if(progress_,
                [this](const auto& peer) { return !membership()->Contains(peer.first); });
}

// Learners that are meant to vote become voters as soon as they can follow.
void Core::PromoteCaughtUp() {
  std::vector<MemberChange> changes;
  for (const NodeId id : membership()->learners()) {
    const Member& member = *membership()->Find(id);
    const auto peer = progress_.find(id);
    if (!member.promote_when_caught_up || peer == progress_.end()) continue;
    const bool alive = now_ - peer->second.last_response < options_.election_timeout;
    if (!alive || !peer->second.catch_up.done()) continue;
    changes.push_back({.kind = MemberChange::Kind::kPromote, .member = member});
  }
  if (changes.empty() || !WhyNotChange(changes).ok()) return;
  VISITED(kLearnersPromoted);
  const absl::Status started = StartChange(changes);
  MOKV_CHECK(started.ok());
}

void Core::FinishChange(absl::Status status, bool fate_unknown) {
  if (!change_.has_value()) return;
  output_.changes.push_back({.request = *std::exchange(change_, std::nullopt),
                             .status = std::move(status),
                             .fate_unknown = fate_unknown});
}

}  // namespace mokv::raft
