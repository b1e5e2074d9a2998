// Core: creation, the dispatch of events and messages, terms and roles, and what leaves in a turn.
#include "raft/core.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "raft/coverage.h"

namespace mokv::raft {
namespace {

bool IsFromLeader(const Message& message) {
  return std::holds_alternative<Append>(message.body) ||
         std::holds_alternative<Heartbeat>(message.body) ||
         std::holds_alternative<InstallSnapshot>(message.body) ||
         std::holds_alternative<TimeoutNow>(message.body);
}

// Whether both acknowledge to the same leader, so that `later` says all that `earlier` does.
bool Supersedes(const Message& later, const Message& earlier) {
  const auto* one = std::get_if<AppendReply>(&earlier.body);
  const auto* other = std::get_if<AppendReply>(&later.body);
  return one != nullptr && other != nullptr && earlier.to == later.to &&
         earlier.term == later.term && other->match >= one->match;
}

}  // namespace

std::string_view RefusalName(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone:
      return "none";
    case Refusal::kNotLeader:
      return "not leader";
    case Refusal::kTransferring:
      return "transferring";
    case Refusal::kTooMuchUncommitted:
      return "too much uncommitted";
    case Refusal::kTooManyReads:
      return "too many reads";
    case Refusal::kNoLeader:
      return "no leader";
    case Refusal::kLeaderChanged:
      return "leader changed";
  }
  MOKV_CHECK(false);
}

absl::StatusOr<std::unique_ptr<Core>> Core::Create(const Options& options, InitialState initial,
                                                   Random& random, MonotonicTime now) {
  const LogView& log = initial.log;
  const Index committed = std::max(initial.hard_state.commit, log.base().index);
  if (initial.hard_state.term < log.last().term) {
    return DataLoss("the log ends in term {}, but the hard state says term {}", log.last().term,
                    initial.hard_state.term);
  }
  if (committed > log.last().index) {
    return DataLoss("the log ends at {}, but was known to be committed up to {}", log.last().index,
                    committed);
  }
  if (initial.snapshot.has_value() && initial.snapshot->last.index < log.base().index) {
    return DataLoss("the log begins after {}, the newest snapshot ends at {}", log.base().index,
                    initial.snapshot->last.index);
  }
  MOKV_CHECK(options.id != NodeId());
  MOKV_CHECK_LE(initial.applied, committed);
  MOKV_CHECK_LE(log.base().index, initial.applied);
  MOKV_CHECK_LE(log.first_in_memory(), initial.applied.next());
  return std::unique_ptr<Core>(new Core(options, std::move(initial), random, now));
}

Core::Core(const Options& options, InitialState initial, Random& random, MonotonicTime now)
    : options_(options),
      now_(now),
      term_(initial.hard_state.term),
      vote_(ParseVote(initial.hard_state.vote)),
      log_(std::move(initial.log)),
      commit_persisted_(initial.hard_state.commit),
      durability_(log_.last().index),
      commit_(std::max(initial.hard_state.commit, log_.base().index)),
      applied_(initial.applied),
      snapshot_(std::move(initial.snapshot)),
      election_timer_(options.election_timeout, random),
      forwarded_(random.Next()),
      limits_{options.inflight_appends_max, options.inflight_bytes_max},
      lease_(options.lease_reads, options.election_timeout, options.clock_drift_percent_max) {
  // §6.4.1: a vote may be given only an election timeout after the leader was last heard, and this
  // node has forgotten when that was.
  if (options_.lease_reads) vote_for_nobody_until_ = now + options_.election_timeout;
  last_leader_contact_ = now - options_.election_timeout;
  election_timer_.Restart(now);
  // The only voter need not wait, since nobody can object. The exception: a leader that is being
  // removed may still lead by a lease that this node's former life gave it.
  const bool sole_leader = !options_.lease_reads || log_.membership_index() <= commit_;
  if (sole_leader && membership()->voters() == Membership::Ids{options_.id} &&
      !membership()->joint()) {
    election_timer_.ExpireAt(now);
  }
  standing_ = {.role = role_, .term = term_};
  UpdateDeadline();
}

const std::shared_ptr<const Membership>& Core::membership() const { return log_.membership(); }

void Core::Step(MonotonicTime now, Event event) {
  now_ = std::max(now_, now);
  std::visit([this](auto& happened) { On(std::move(happened)); }, event);
  UpdateDeadline();
}

void Core::On(Tick) {
  if (role_ == Role::kLeader) {
    if (now_ >= next_heartbeat_) LeaderDuties();
    return;
  }
  if (now_ >= election_timer_.deadline()) OnElectionTimeout();
  if (role_ != Role::kLeader && now_ >= next_forward_check_) ForwardOverdueReads();
}

void Core::On(Receive receive) {
  const Message& message = receive.message;
  if (message.to != options_.id) {
    // Meant for a node of this name with another disk: none of our business (see NodeId).
    ++stats_.misaddressed;
    return;
  }
  if (!IsWellFormed(message)) {
    ++stats_.malformed;
    return;
  }
  Dispatch(message);
}

// Figure 2, "Rules for Servers", then what is particular to each message.
void Core::Dispatch(const Message& message) {
  if (!AdmitTerm(message)) return;
  std::visit([&](const auto& body) { On(message, body); }, message.body);
}

// Figure 2: "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert
// to follower", with the exceptions that keep a healthy leader in office.
bool Core::AdmitTerm(const Message& message) {
  if (message.term == term_) return true;
  if (message.term < term_) {
    AnswerEarlierTerm(message);
    return false;
  }
  // §9.6: these speak of a term that nobody is in yet.
  if (std::holds_alternative<PreVoteRequest>(message.body)) return true;
  if (const auto* reply = std::get_if<PreVoteReply>(&message.body)) {
    if (reply->granted) return true;
  }
  // §4.2.3: "if a server receives a RequestVote request within the minimum election timeout of
  // hearing from a current leader, it does not update its term or grant its vote". So removed or
  // partitioned nodes cannot depose a leader. A transfer is the leader's own wish (§3.10).
  if (const auto* request = std::get_if<VoteRequest>(&message.body)) {
    if (!request->transfer && InLeaderContact()) {
      VISITED(kVoteRequestUnheard);
      return false;
    }
  }
  BecomeFollower(message.term, IsFromLeader(message) ? message.from : NodeId());
  return true;
}

// Figure 2: "Reply false if term < currentTerm". The sender learns of the newer term. Otherwise a
// sender that has fallen behind would never catch up, or would for ever believe that it leads.
void Core::AnswerEarlierTerm(const Message& message) {
  if (std::holds_alternative<PreVoteRequest>(message.body)) {
    VISITED(kEarlierPreVote);
    Send(message.from, PreVoteReply{.granted = false});
  } else if (std::holds_alternative<VoteRequest>(message.body)) {
    VISITED(kEarlierVote);
    Send(message.from, VoteReply{.granted = false});
  } else if (IsFromLeader(message)) {
    VISITED(kEarlierLeader);
    Send(message.from, TermNotice{});
  }
}

bool Core::IsWellFormed(const Message& message) const {
  if (message.from == NodeId() || message.from == options_.id || message.term == Term()) {
    return false;
  }
  if (const auto* install = std::get_if<InstallSnapshot>(&message.body)) {
    const SnapshotMeta& snapshot = install->snapshot;
    return snapshot.membership != nullptr && !snapshot.membership->empty() &&
           snapshot.last.index > Index(0) && snapshot.last.term <= message.term;
  }
  const auto* append = std::get_if<Append>(&message.body);
  if (append == nullptr) return true;
  Position last = append->previous;
  if ((last.index == Index(0)) != (last.term == Term(0))) return false;
  if (append->entries == nullptr) return last.term <= message.term;
  if (append->entries->empty()) return false;
  for (const Entry& entry : *append->entries) {
    if (entry.index != last.index.next() || entry.term < last.term) return false;
    if (entry.type == EntryType::kConfiguration && !Membership::Decode(entry.bytes()).ok()) {
      return false;
    }
    last = {entry.index, entry.term};
  }
  return last.term <= message.term && last.term > Term(0);
}

void Core::On(ConnectionClosed closed) {
  if (role_ == Role::kLeader) {
    if (const auto peer = progress_.find(closed.peer); peer != progress_.end()) {
      VISITED(kConnectionOfLeaderClosed);
      peer->second.BecomeProbe();
    }
  } else if (closed.peer == leader_) {
    OnLeaderLost();
  }
}

void Core::On(Persisted persisted) {
  durability_.OnPersisted(persisted.ticket, now_);
  ReleaseHeld();
  // §10.2.1: the leader counts its own entries only now.
  if (role_ == Role::kLeader) AdvanceCommit();
}

void Core::BecomeFollower(Term term, NodeId leader) {
  MOKV_CHECK_GE(term, term_);
  MOKV_CHECK(leader != options_.id);
  if (role_ == Role::kLeader) LeaveLeadership();
  role_ = Role::kFollower;
  if (term > term_) SetTermAndVote(term, NodeId());
  SetLeader(leader);
  election_timer_.Restart(now_);
  MOKV_CHECK(progress_.empty());  // What is known of peers is of one term.
}

void Core::LeaveLeadership() {
  MOKV_CHECK(role_ == Role::kLeader);
  // Nobody must wait for what this node can no longer give. They are told before the new term is
  // taken, so that the answers still belong to this term.
  role_ = Role::kFollower;
  lease_.GiveUpForTerm();
  for (const ReadOrigin& origin : reads_.FailAll()) RefuseRead(origin, Refusal::kLeaderChanged);
  FinishTransfer(absl::OkStatus());
  FinishChange(Unavailable("leadership was lost before the change was committed"), true);
  progress_.clear();
  batches_.clear();
  uncommitted_bytes_ = 0;
}

void Core::SetLeader(NodeId leader) {
  if (leader != leader_) {
    FailForwardedReads();
    leader_lost_ = false;
  }
  leader_ = leader;
}

void Core::SetTermAndVote(Term term, NodeId vote) {
  MOKV_CHECK_GE(term, term_);
  // One vote a term (§3.4), and it is never taken back.
  MOKV_CHECK(term > term_ || vote_ == NodeId() || vote_ == vote);
  term_ = term;
  vote_ = vote;
  hard_state_changed_ = true;
}

void Core::CommitTo(Index index) {
  MOKV_CHECK_GT(index, commit_);
  MOKV_CHECK_LE(index, log_.last().index);
  if (role_ == Role::kLeader) {
    for (Index i = commit_.next(); i <= index; ++i) {
      const uint64_t bytes = EntryBytes(log_.At(i));
      MOKV_CHECK_GE(uncommitted_bytes_, bytes);
      uncommitted_bytes_ -= bytes;
    }
  }
  commit_ = index;
  if (role_ == Role::kLeader && log_.membership_index() <= commit_) OnMembershipCommitted();
}

void Core::AppendToLog(Entry entry) {
  MOKV_CHECK_LE(entry.term, term_);  // No leader has entries of a term that nobody is in yet.
  const bool configuration = entry.type == EntryType::kConfiguration;
  const absl::Status appended = log_.Append(std::move(entry));
  MOKV_CHECK(appended.ok());  // Ours, or examined by IsWellFormed.
  if (configuration) OnMembershipInEffect();
}

void Core::TruncateLog(Index from) {
  // What is committed never changes (§3.6.3), and a leader never truncates its log (§3.5).
  MOKV_CHECK_GT(from, commit_);
  MOKV_CHECK(role_ != Role::kLeader);
  const Index before = log_.membership_index();
  if (from <= durability_.handed()) {
    truncate_from_ = std::min(truncate_from_.value_or(from), from);
  }
  log_.TruncateFrom(from);
  durability_.OnTruncated(from);
  if (log_.membership_index() != before) {
    VISITED(kConfigurationTruncated);
    OnMembershipInEffect();
  }
}

void Core::Deliver(Message message) {
  MOKV_CHECK(message.to != NodeId());
  if (message.to == options_.id) return Dispatch(message);
  output_.messages.push_back(std::move(message));
}

// A promise: it leaves when everything that this node knows so far is durable.
void Core::Hold(Message message) {
  const PersistTicket ticket = PromiseTicket();
  if (ticket <= durability_.persisted()) return Deliver(std::move(message));
  MOKV_CHECK(held_.empty() || held_.back().ticket <= ticket);
  // While the disk hangs the leader asks again and again; the last answer says it all.
  if (!held_.empty() && held_.back().ticket == ticket &&
      Supersedes(message, held_.back().message)) {
    VISITED(kHeldSuperseded);
    held_.pop_back();
  }
  held_.push_back({ticket, std::move(message)});
}

void Core::ReleaseHeld() {
  while (!held_.empty() && held_.front().ticket <= durability_.persisted()) {
    Message message = std::move(held_.front().message);
    held_.pop_front();
    // What was promised in an earlier term is of no use to anybody any more.
    if (message.term != term_) {
      VISITED(kHeldOutdated);
      continue;
    }
    const bool superseded = !held_.empty() && held_.front().ticket <= durability_.persisted() &&
                            Supersedes(held_.front().message, message);
    if (superseded) continue;
    Deliver(std::move(message));
  }
}

bool Core::HasUnhanded() const {
  return hard_state_changed_ || install_.has_value() || truncate_from_.has_value() ||
         log_.last().index > durability_.handed();
}

PersistTicket Core::PromiseTicket() const {
  return HasUnhanded() ? durability_.next_ticket() : durability_.last_ticket();
}

Output Core::TakeOutput() {
  if (role_ == Role::kLeader) {
    BeginReadRound();
    for (auto& [peer, progress] : progress_) Replicate(peer, progress);
    batches_.clear();
  } else {
    ForwardReads();
  }
  TakePersist();
  TakeCommitted();
  EndOwnLoss();
  TakeStanding();
  UpdateDeadline();
  return std::exchange(output_, Output());
}

void Core::TakePersist() {
  if (!HasUnhanded()) return;
  PersistRequest& request = output_.persist.emplace();
  request.install = std::exchange(install_, std::nullopt);
  request.truncate_from = std::exchange(truncate_from_, std::nullopt);
  const Index last = log_.last().index;
  if (last > durability_.handed()) {
    request.entries = log_.Slice(durability_.handed().next(), last, UINT64_MAX);
  }
  // The commit index is a hint: worth writing along with something else, not on its own.
  const bool term_or_vote = std::exchange(hard_state_changed_, false);
  if (term_or_vote || commit_ > commit_persisted_) {
    request.hard_state = HardState{.term = term_, .vote = VoteText(vote_), .commit = commit_};
    commit_persisted_ = commit_;
  }
  request.ticket = durability_.Issue(last, now_);
  if (term_or_vote) hard_state_ticket_ = request.ticket;
  if (request.install.has_value()) install_ticket_ = request.ticket;
  // A promise that leaves now has a ticket that covers all of this.
  MOKV_CHECK(!HasUnhanded());
}

void Core::TakeCommitted() {
  if (applied_ == commit_) return;
  MOKV_CHECK_LT(applied_, commit_);
  MOKV_CHECK_GT(options_.apply_entries_max, 0U);
  const Index through = std::min(commit_, applied_ + options_.apply_entries_max);
  output_.committed = log_.Slice(applied_.next(), through, options_.apply_bytes_max);
  MOKV_CHECK_EQ(output_.committed.front().index, applied_.next());  // Each once, in order.
  applied_ = output_.committed.back().index;
  MOKV_CHECK_LE(applied_, commit_);
  output_.more_committed = applied_ < commit_;
  log_.Trim(std::min(applied_, durability_.stable()), options_.cache_bytes_max);
}

void Core::TakeStanding() {
  const Standing standing{.role = role_,
                          .term = term_,
                          .leader = leader_,
                          .can_serve = can_serve(),
                          .lacks_acknowledged = lost_through_ != Position()};
  if (standing == standing_) return;
  standing_ = standing;
  output_.standing = standing;
}

void Core::UpdateDeadline() {
  if (role_ == Role::kLeader) {
    next_deadline_ = next_heartbeat_;
    return;
  }
  // A node that has not been joined yet has nothing to wait for.
  next_deadline_ = membership()->empty() ? MonotonicTime::Max() : election_timer_.deadline();
  if (!forwarded_.empty()) next_deadline_ = std::min(next_deadline_, next_forward_check_);
}

}  // namespace mokv::raft
