// Core: handing leadership over (§3.10).
#include <chrono>
#include <tuple>

#include "base/check.h"
#include "base/status.h"
#include "raft/core.h"
#include "raft/coverage.h"

namespace mokv::raft {

void Core::On(TransferLeadership transfer) {
  absl::Status status;
  NodeId target = transfer.target;
  if (role_ != Role::kLeader) {
    status = Unavailable("this node does not lead");
  } else if (transfer_.has_value()) {
    VISITED(kTransferTwice);
    status = Unavailable("leadership is being handed over already");
  } else if (target == options_.id) {
    VISITED(kTransferToSelf);
    output_.transfers.push_back({.request = transfer.request, .status = absl::OkStatus()});
    return;
  } else {
    if (target == NodeId()) target = BestTransferTarget();
    status = WhyNotTransferTo(target);
    if (status.ok()) status = WhySilent(target);
  }
  if (!status.ok()) {
    output_.transfers.push_back({.request = transfer.request, .status = std::move(status)});
    return;
  }
  StartTransfer(transfer.request, target);
}

absl::Status Core::WhyNotTransferTo(NodeId target) const {
  if (target == NodeId()) return Unavailable("no other voter is alive and could lead");
  const Member* member = membership()->Find(target);
  if (member == nullptr) return FailedPrecondition("{} is not a member", target);
  if (!membership()->IsIncomingVoter(target)) {
    return FailedPrecondition("{} is not a voter", member->name);
  }
  if (member->priority == kPriorityNever) {
    return FailedPrecondition("{} is never to lead", member->name);
  }
  return absl::OkStatus();
}

// Writes wait while a transfer is under way, so none begins to a node that will not answer.
absl::Status Core::WhySilent(NodeId target) const {
  const Duration silence = now_ - progress_.at(target).last_response;
  if (silence < options_.election_timeout) return absl::OkStatus();
  VISITED(kTransferToSilent);
  return Unavailable("{} has not been heard from for {} ms", membership()->Find(target)->name,
                     std::chrono::duration_cast<std::chrono::milliseconds>(silence).count());
}

// The best of the voters that are alive and may lead: what counts most is to have all that is
// committed, then the priority, then the length of the log. 0 if there is none.
NodeId Core::BestTransferTarget() const {
  NodeId best;
  std::tuple<bool, uint32_t, Index> best_rank{false, 0, Index()};
  for (const auto& [id, progress] : progress_) {
    const bool alive = now_ - progress.last_response < options_.election_timeout &&
                       progress.state() == Progress::State::kReplicate;
    if (!alive || !WhyNotTransferTo(id).ok()) continue;
    const std::tuple rank{progress.match() >= commit_, membership()->Find(id)->priority,
                          progress.match()};
    if (rank > best_rank) {
      best = id;
      best_rank = rank;
    }
  }
  return best;
}

void Core::StartTransfer(RequestId request, NodeId target) {
  MOKV_CHECK(role_ == Role::kLeader);
  MOKV_CHECK(!transfer_.has_value());
  MOKV_CHECK(progress_.contains(target));
  const Duration timeout = options_.transfer_timeout == Duration(0) ? options_.election_timeout
                                                                    : options_.transfer_timeout;
  transfer_ = {.request = request, .target = target, .deadline = now_ + timeout};
  // §6.4.1: the successor does not wait for the lease to end, so this node gives it up first.
  lease_.GiveUpForTerm();
  MaybeSendTimeoutNow(target, progress_.at(target));
}

// §3.10, step 3, once step 2 ("fully updates the target server's log") is done.
void Core::MaybeSendTimeoutNow(NodeId peer, const Progress& progress) {
  if (!transfer_.has_value() || transfer_->target != peer || transfer_->timeout_now_sent) return;
  if (progress.match() != log_.last().index) {
    VISITED(kTransferWaits);
    return;
  }
  MOKV_CHECK(role_ == Role::kLeader);
  transfer_->timeout_now_sent = true;
  Send(peer, TimeoutNow{});
}

void Core::FinishTransfer(absl::Status status) {
  if (!transfer_.has_value()) return;
  const RequestId request = std::exchange(transfer_, std::nullopt)->request;
  if (request == RequestId()) return;
  output_.transfers.push_back({.request = request, .status = std::move(status)});
}

// This node must not lead any longer. It tells the followers what is committed, and tells the best
// of them to stand at once rather than after a timeout.
void Core::HandOverAndStepDown() {
  MOKV_CHECK(role_ == Role::kLeader);
  for (auto& [peer, progress] : progress_) TellCommit(peer, progress);
  const NodeId successor = BestTransferTarget();
  if (successor != NodeId()) {
    Send(successor, TimeoutNow{});
  } else {
    VISITED(kHandOverToNobody);
  }
  BecomeFollower(term_, NodeId());
}

// The target of a transfer: "equivalent to the target server's election timer firing" (§3.10), and
// without a pre-vote, since the leader wishes it. A node that cannot stand lets the leader go on.
void Core::On(const Message& message, const TimeoutNow&) {
  if (role_ != Role::kFollower || leader_ != message.from || !CanCampaign()) {
    VISITED(kTimeoutNowIgnored);
    return;
  }
  StartElection(true);
}

}  // namespace mokv::raft
