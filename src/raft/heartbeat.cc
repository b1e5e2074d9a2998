// Core: what a leader does once every heartbeat interval, and what the answers are good for:
// check-quorum, read rounds (§6.4) and the lease (§6.4.1).
#include <algorithm>

#include "base/check.h"
#include "base/status.h"
#include "raft/core.h"
#include "raft/coverage.h"
#include "raft/quorum.h"

namespace mokv::raft {

void Core::LeaderDuties() {
  MOKV_CHECK(role_ == Role::kLeader);
  next_heartbeat_ = now_ + options_.heartbeat_interval;
  // §6.2: "a leader steps down if an election timeout elapses without a successful round of
  // heartbeats to a majority", so that clients of a cut-off leader go elsewhere.
  if (!HasQuorum()) {
    ++stats_.quorum_lost;
    return BecomeFollower(term_, NodeId());
  }
  if (transfer_.has_value() && now_ >= transfer_->deadline) {
    VISITED(kTransferTimesOut);
    FinishTransfer(Unavailable("the transfer of leadership did not come about in time"));
  }
  if (HandOverIfDiskStalls()) return;
  HandOverToPriority();
  // Both may have waited for a transfer to end.
  if (CommittedInTerm() && log_.membership_index() <= commit_) OnMembershipCommitted();
  if (role_ != Role::kLeader) return;
  DropRemovedPeers();
  PromoteCaughtUp();
  timed_round_ = rounds_.last().next();
  BroadcastHeartbeat();
}

bool Core::HasQuorum() const {
  const MonotonicTime heard = ReachedByQuorum(*membership(), [this](NodeId voter) {
    const auto peer = progress_.find(voter);
    return peer == progress_.end() ? now_ : peer->second.last_response;
  });
  return now_ - heard < options_.election_timeout;
}

// One round for everything: it keeps followers quiet, and confirms the leadership to the reads that
// wait and to the lease.
void Core::BroadcastHeartbeat() {
  MOKV_CHECK(role_ == Role::kLeader);
  const Round round = rounds_.Begin(now_);
  if (CommittedInTerm()) {
    if (reads_.staged()) ++stats_.read_rounds;
    reads_.BeginRound(round, commit_);
  }
  for (auto& [peer, progress] : progress_) {
    const Index commit = std::min(commit_, progress.match());
    progress.sent_commit = std::max(progress.sent_commit, commit);
    Send(peer,
         Heartbeat{.commit = commit, .round = round, .acknowledged = AcknowledgedBy(progress)});
  }
  ConfirmRounds();  // The only voter needs no answer.
}

void Core::On(const Message& message, const HeartbeatReply& reply) {
  const auto found = progress_.find(message.from);
  if (role_ != Role::kLeader || found == progress_.end() || reply.round > rounds_.last()) return;
  Progress& progress = found->second;
  progress.last_response = now_;
  progress.acked_round = std::max(progress.acked_round, reply.round);
  NoteLossOf(message.from, progress, reply);
  // The peer says nothing of what is in flight: an empty append tells whether it was lost. If the
  // log has been cut beyond that, only a (newer) snapshot helps.
  if (progress.OnHeartbeatReply(reply.round, timed_round_)) {
    VISITED(kSilentPeer);
    if (progress.next() > log_.base().index) {
      SendAppend(message.from, progress, nullptr);
    } else {
      VISITED(kSilentPeerBehindBase);
      progress.BecomeProbe();
    }
  }
  ConfirmRounds();
}

void Core::ConfirmRounds() {
  const Round reached = ReachedByQuorum(*membership(), [this](NodeId voter) {
    const auto peer = progress_.find(voter);
    if (peer != progress_.end()) return peer->second.acked_round;
    return voter == options_.id ? rounds_.last() : Round();
  });
  MOKV_CHECK_LE(reached, rounds_.last());
  if (reached <= confirmed_round_) return;
  confirmed_round_ = reached;
  // The lease counts from when the heartbeats were *sent*: the answers may have been under way for
  // long.
  const MonotonicTime sent = rounds_.OnQuorum(reached);
  lease_.OnQuorum(sent);
  for (const ReadIndex::Confirmed& read : reads_.OnQuorum(reached)) {
    Release(read.origin, read.index);
  }
}

// Heartbeats do not wait for the disk, so nobody else would notice that it hangs. Short stalls do
// not matter; after persist_stall_max a node with a working disk should lead. True if leadership
// was handed over.
bool Core::HandOverIfDiskStalls() {
  const bool alone = membership()->IsVoter(options_.id) && membership()->voters().size() == 1 &&
                     !membership()->joint();
  if (!DiskStalls() || alone || transfer_.has_value()) return false;
  ++stats_.disk_stalls;
  HandOverAndStepDown();
  return true;
}

// Hands over to a member that has a higher leader priority than this one, if one is able to lead.
void Core::HandOverToPriority() {
  if (now_ < next_priority_check_) return;
  next_priority_check_ = now_ + options_.priority_delay;
  const Member* self = membership()->Find(options_.id);
  if (self == nullptr || transfer_.has_value() || ChangeInFlight() || !CommittedInTerm()) return;
  const NodeId best = BestTransferTarget();
  if (best == NodeId() || membership()->Find(best)->priority <= self->priority) return;
  VISITED(kPriorityHandsOver);
  StartTransfer(RequestId(), best);
}

}  // namespace mokv::raft
