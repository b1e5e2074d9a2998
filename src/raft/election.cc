// Core: elections (§3.4), who may stand, pre-vote (§9.6), and when a vote is given (§3.6.1,
// §4.2.3).
#include "base/check.h"
#include "raft/core.h"
#include "raft/coverage.h"

namespace mokv::raft {

// A node may stand if it is a voter of the newest configuration in its log (§4.1), is meant to lead
// and is able to: if its disk hangs, it could not even vote for itself. And "a server that is not
// part of its own latest configuration should still start new elections, as it might still be
// needed until the C_new entry is committed" (§4.2.2): the others may need an entry that only this
// node has.
bool Core::CanCampaign() const {
  if (!membership()->IsVoter(options_.id) && !log_.IsVoterSince(commit_, options_.id)) return false;
  const Member* self = membership()->Find(options_.id);
  if (self != nullptr && self->priority == kPriorityNever) {
    VISITED(kCampaignNever);
    return false;
  }
  // A snapshot that is being installed is not this node's state yet.
  if (install_.has_value() || install_ticket_ > durability_.persisted()) {
    VISITED(kCampaignInstalling);
    return false;
  }
  if (Contradicts(log_.last())) {
    VISITED(kCampaignLacks);
    return false;
  }
  if (DiskStalls()) VISITED(kCampaignDiskStalls);
  return !DiskStalls();
}

bool Core::DiskStalls() const {
  return durability_.waiting() && now_ - durability_.waiting_since() >= options_.persist_stall_max;
}

// §4.2.3: whether a current leader was heard within the minimum election timeout; as long as it
// was, this node helps nobody else to be elected.
bool Core::InLeaderContact() const {
  // Check-quorum ends a leadership that nobody follows.
  if (role_ == Role::kLeader) return true;
  const bool recent = now_ - last_leader_contact_ < options_.election_timeout;
  // §6.4.1: a leader may be answering reads from the lease that this contact gave it, so the
  // promise holds whatever has become known of that leader or its term since, and over a restart.
  if (options_.lease_reads) return recent || now_ < vote_for_nobody_until_;
  return recent && leader_ != NodeId() && !leader_lost_;
}

void Core::OnElectionTimeout() {
  MOKV_CHECK(role_ != Role::kLeader);
  if (CanCampaign()) return StartPreVote();
  VISITED(kCampaignRefused);
  SetLeader(NodeId());  // Learners, too, notice that nobody leads.
  role_ = Role::kFollower;
  election_timer_.Restart(now_);
}

// The leader's connection has closed. If it crashed, everybody sees that within a round trip and
// need not wait for the timeout. The followers try one after the other, so that votes do not split;
// a node that still hears the leader answers no (InLeaderContact). With leases, all wait for the
// timeout.
void Core::OnLeaderLost() {
  if (options_.lease_reads) return;
  VISITED(kLeaderLost);
  leader_lost_ = true;
  if (!CanCampaign()) return;
  const Member* self = membership()->Find(options_.id);
  const uint32_t priority = self == nullptr ? kPriorityDefault : self->priority;
  int rank = 0;
  for (const auto& [id, member] : membership()->members()) {
    if (id == leader_ || id == options_.id || !membership()->IsVoter(id)) continue;
    const bool sooner =
        member.priority > priority || (member.priority == priority && id < options_.id);
    if (sooner && member.priority != kPriorityNever) ++rank;
  }
  // Others may see the connection close a little later; then the answer to the first try is no.
  early_pre_votes_left_ = 2;
  election_timer_.ExpireAt(
      std::min(election_timer_.deadline(), now_ + rank * options_.lost_leader_stagger));
}

// §9.6: a candidate first learns whether it would be elected. So a node that would not be elected,
// because it is cut off or its log is behind, raises nobody's term.
void Core::StartPreVote() {
  MOKV_CHECK(role_ != Role::kLeader);
  ++stats_.pre_votes;
  role_ = Role::kPreCandidate;
  SetLeader(NodeId());
  election_timer_.Restart(now_);
  if (early_pre_votes_left_ > 0) {
    VISITED(kEarlyPreVote);
    --early_pre_votes_left_;
    const auto voters = static_cast<int64_t>(membership()->voters().size());
    election_timer_.ExpireAt(now_ + voters * options_.lost_leader_stagger);
  }
  tally_.Reset();
  tally_.Record(options_.id, true);  // Counts if this node is a voter (§4.2.2).
  if (tally_.Result(*membership()) == VoteResult::kWon) return StartElection(false);
  for (const auto& [id, member] : membership()->members()) {
    if (id == options_.id || !membership()->IsVoter(id)) continue;
    Deliver({.from = options_.id,
             .to = id,
             .term = term_.next(),
             .body = PreVoteRequest{.last = log_.last()}});
  }
}

void Core::On(const Message& message, const PreVoteRequest& request) {
  const bool granted = message.term > term_ && !InLeaderContact() &&
                       log_.IsUpToDate(request.last) && !Contradicts(request.last);
  // A grant is no promise: nothing is persisted, and others may be granted the same.
  Deliver({.from = options_.id,
           .to = message.from,
           .term = granted ? message.term : term_,
           .body = PreVoteReply{.granted = granted}});
}

void Core::On(const Message& message, const PreVoteReply& reply) {
  if (role_ != Role::kPreCandidate) return;
  if (message.term != (reply.granted ? term_.next() : term_)) {
    VISITED(kPreVoteOfAnotherAttempt);
    return;
  }
  tally_.Record(message.from, reply.granted);
  const VoteResult result = tally_.Result(*membership());
  if (result == VoteResult::kWon && CanCampaign()) return StartElection(false);
  if (result == VoteResult::kPending) return;
  VISITED(kPreVoteLost);
  role_ = Role::kFollower;
}

// Figure 2, "Candidates": "increment currentTerm, vote for self, reset election timer, send
// RequestVote RPCs to all other servers". The requests, too, wait for the disk: a node that crashed
// and lost the end of its log must not collect votes that it was given for that end.
void Core::StartElection(bool transfer) {
  MOKV_CHECK(role_ != Role::kLeader);
  MOKV_CHECK(CanCampaign());
  ++stats_.elections;
  role_ = Role::kCandidate;
  SetLeader(NodeId());
  SetTermAndVote(term_.next(), options_.id);
  election_timer_.Restart(now_);
  early_pre_votes_left_ = 0;
  tally_.Reset();
  for (const auto& [id, member] : membership()->members()) {
    if (id == options_.id || !membership()->IsVoter(id)) continue;
    SendWhenDurable(id, VoteRequest{.last = log_.last(), .transfer = transfer});
  }
  SendWhenDurable(options_.id, VoteReply{.granted = true});
}

// Figure 2, RequestVote, receiver; its rule 1 and stickiness are in AdmitTerm.
void Core::On(const Message& message, const VoteRequest& request) {
  // §4.2.3, §6.4.1: AdmitTerm checks this only if the request itself brought the new term. If
  // another message did, the promise to the leader that was heard still holds.
  if (!request.transfer && InLeaderContact()) {
    VISITED(kVoteRequestUnheardInTerm);
    return Send(message.from, VoteReply{.granted = false});
  }
  const bool free = vote_ == NodeId() || vote_ == message.from;
  const bool up_to_date = log_.IsUpToDate(request.last) && !Contradicts(request.last);
  if (!free) VISITED(kVoteNotFree);
  if (!up_to_date) VISITED(kVoteLogBehind);
  if (!free || !up_to_date) return Send(message.from, VoteReply{.granted = false});
  // A candidate or leader has voted for itself.
  MOKV_CHECK(vote_ == message.from || (role_ != Role::kCandidate && role_ != Role::kLeader));
  role_ = Role::kFollower;  // A pre-candidate gives up: the others already have a candidate.
  // A vote is a promise: it is heard only when it is durable.
  if (vote_ != message.from) SetTermAndVote(term_, message.from);
  election_timer_.Restart(now_);
  SendWhenDurable(message.from, VoteReply{.granted = true});
}

void Core::On(const Message& message, const VoteReply& reply) {
  if (role_ != Role::kCandidate) return;
  tally_.Record(message.from, reply.granted);
  const VoteResult result = tally_.Result(*membership());
  if (result == VoteResult::kWon) BecomeLeader();
  if (result == VoteResult::kLost) {
    VISITED(kElectionLost);
    BecomeFollower(term_, NodeId());
  }
}

void Core::On(const Message&, const TermNotice&) {}  // AdmitTerm has done it all.

// Figure 2, "Leaders", and §6.4: a no-op makes what earlier leaders left behind committable, and
// tells this one what is committed.
void Core::BecomeLeader() {
  MOKV_CHECK(role_ == Role::kCandidate);
  MOKV_CHECK_EQ(vote_, options_.id);
  MOKV_CHECK(!transfer_.has_value() && !change_.has_value());  // Ended with the last leadership.
  MOKV_CHECK_EQ(reads_.waiting(), 0U);
  ++stats_.leaderships;
  role_ = Role::kLeader;
  SetLeader(options_.id);
  term_begin_ = log_.last().index.next();
  rounds_ = HeartbeatRounds();
  timed_round_ = Round();
  confirmed_round_ = Round();
  lease_.BeginTerm();
  next_heartbeat_ = now_ + options_.heartbeat_interval;
  next_priority_check_ = now_ + options_.priority_delay;
  uncommitted_bytes_ = 0;
  for (Index i = commit_.next(); i <= log_.last().index; ++i) {
    uncommitted_bytes_ += EntryBytes(log_.At(i));
  }
  OnMembershipInEffect();
  AppendAsLeader(EntryType::kNoOp, nullptr);
  MOKV_CHECK_EQ(log_.last().index, term_begin_);
  MOKV_CHECK(!CommittedInTerm());
}

}  // namespace mokv::raft
