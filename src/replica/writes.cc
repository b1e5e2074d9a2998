#include "replica/writes.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace mokv::replica {
namespace {

// Of commands in one forward; a single larger one goes alone.
constexpr uint64_t kForwardBytesMax = uint64_t{4} << 20;

// Who does not lead any more forgets a step of time after so long: nobody waits for it, and a node
// that was removed would never hear what became of it, and never be idle.
constexpr Duration kStepWaitMax = std::chrono::seconds(5);

}  // namespace

absl::Status Writes::CheckLimits(const machine::Command& command, uint64_t bytes) const {
  if (const uint64_t pending = pending_.load(); pending >= limits_.pending_max) {
    return ResourceExhausted("{} writes are waiting already; limit {}", pending,
                             limits_.pending_max);
  }
  if (const uint64_t waiting = pending_bytes_.load();
      waiting > 0 && waiting + bytes > limits_.pending_bytes_max) {
    return ResourceExhausted("writes of {} bytes are waiting already; limit {}", waiting,
                             limits_.pending_bytes_max);
  }
  if (limits_.memory_bytes_max == 0 || !machine::MayGrow(command)) return absl::OkStatus();
  if (const uint64_t used = machine_.memory_bytes(); used >= limits_.memory_bytes_max) {
    return ResourceExhausted(
        "the store has {} bytes of memory; max-memory-bytes is {}; delete something", used,
        limits_.memory_bytes_max);
  }
  return absl::OkStatus();
}

// What is in the log must be understood by every node, or none can go on. So a leader looks into
// what others pass on: one of a newer version may know commands that this one does not.
absl::Status Writes::CheckForwarded(std::string_view node, Write& write,
                                    ForwardGuard::WriteTold& told) const {
  const absl::StatusOr<machine::Command> decoded = machine::DecodeCommand(*write.command);
  if (!decoded.ok()) {
    return FailedPrecondition("the leader does not know this command: {}",
                              MessageOf(decoded.status()));
  }
  if (std::holds_alternative<machine::AdvanceTime>(decoded->control)) {
    return absl::FailedPreconditionError("only the leader itself says that time has passed");
  }
  write.keep_alive = machine::IsKeepAlive(*decoded);
  if (guard_ != nullptr) {
    MOKV_RETURN_IF_ERROR(guard_->CheckWrite(node, write.subject, *decoded, told));
  }
  return CheckLimits(*decoded, write.command->size());
}

absl::Status Writes::Admit(const machine::Command& command, uint64_t bytes) {
  absl::Status status = CheckLimits(command, bytes);
  if (status.ok()) {
    CountIn(bytes);
  } else {
    refused_.fetch_add(1, std::memory_order_relaxed);
  }
  return status;
}

void Writes::CountIn(uint64_t bytes) {
  ++pending_;
  pending_bytes_ += bytes;
}

void Writes::Count(Counters& counters) const {
  counters.proposals_unknown = unknown_;
  counters.proposals_applied = applied_;
  counters.forwarded = forwarded_;
  counters.forwarded_pending = at_leader_.size();
  counters.forwarded_here = forwarded_here_;
}

// Their limits were checked where they came from; this node's own are checked here.
void Writes::AddForwarded(Peers& peers, const ForwardOrigin& origin, MonotonicTime give_up_at,
                          ForwardedWrites forwarded, const absl::Status& refusal) {
  const auto owed =
      std::make_shared<OwedAnswer>(peers, origin.connection, origin.id, forwarded.writes.size());
  forwarded_here_ += forwarded.writes.size();
  for (size_t i = 0; i < forwarded.writes.size(); ++i) {
    ForwardedWrites::Write& taken = forwarded.writes[i];
    Write write{.command = std::move(taken.command),
                .subject = std::move(taken.subject),
                .give_up_at = give_up_at,
                .only_here = true};
    ForwardGuard::WriteTold told;
    absl::Status status = refusal.ok() ? CheckForwarded(origin.node, write, told) : refusal;
    if (told == nullptr) {
      write.done = [owed, i](const WriteResult& result) { owed->Set(i, result); };
    } else {
      write.done = [owed, i, told = std::move(told)](const WriteResult& result) mutable {
        told(result);
        owed->Set(i, result);
      };
    }
    CountIn(write.command->size());
    if (status.ok()) {
      Add(std::move(write));
    } else {
      NotDone(write, std::move(status));
    }
  }
}

std::optional<raft::Propose> Writes::Route(const raft::Core& core, wal::Log& log, Peers& peers,
                                           NextId next_id) {
  if (core.role() == raft::Role::kLeader) {
    if (core.transferring()) return std::nullopt;
    // Earlier leaders may have moved the time in entries that are not applied here before.
    if (core.can_serve()) Beat(clock_.Now());
    return waiting_.empty() ? std::nullopt : Propose(log, next_id);
  }
  cluster_clock_.Stop();
  if (waiting_.empty() && held_.empty()) return std::nullopt;
  for (Write& write : TakeWaiting([](const Write& waiting) { return waiting.only_here; })) {
    NotDone(write, Unavailable("this node does not lead"));
  }
  if (core.leader() != raft::NodeId() && !blocked_) {
    std::move(held_.begin(), held_.end(), std::back_inserter(waiting_));
    held_.clear();
    Forward(core.leader(), peers, next_id);
  }
  return std::nullopt;
}

Write Writes::OwnWrite(const machine::Command& command, MonotonicTime give_up_at, WriteDone done) {
  Write write{.command = std::make_shared<const std::string>(machine::EncodeCommand(command)),
              .subject = {},
              .give_up_at = give_up_at,
              .only_here = true,
              .done = std::move(done)};
  CountIn(write.command->size());
  return write;
}

void Writes::Beat(MonotonicTime now) {
  if (!cluster_clock_.IsDue(now, !held_.empty())) return;
  std::vector<Write> own;
  for (GatheredKeepAlives& one : Gather(std::exchange(held_, {}))) {
    MonotonicTime give_up_at;
    for (const Write& write : one.writes) give_up_at = std::max(give_up_at, write.give_up_at);
    const machine::Command command = one.command;
    own.push_back(OwnWrite(command, give_up_at,
                           [this, gathered = std::move(one)](const WriteResult& result) mutable {
                             Finish(gathered, result);
                           }));
  }
  if (const std::optional<ClusterClock::Step> step = cluster_clock_.TakeStep()) {
    own.push_back(OwnWrite(step->command, now + kStepWaitMax,
                           [this, number = step->number](const WriteResult&) {
                             cluster_clock_.OnStepDecided(number);
                           }));
  }
  waiting_.insert(waiting_.begin(), std::make_move_iterator(own.begin()),
                  std::make_move_iterator(own.end()));
}

void Writes::Finish(GatheredKeepAlives& gathered, const WriteResult& result) {
  for (size_t i = 0; i < gathered.writes.size(); ++i) {
    Write& write = gathered.writes[i];
    if (result.fate == WriteResult::Fate::kApplied) {
      Answer(write,
             {.fate = result.fate, .applied = PartOf(result.applied, gathered, i), .reason = {}});
    } else if (result.fate == WriteResult::Fate::kUnknown) {
      ++unknown_;
      Answer(write, result);
    } else if (absl::IsUnavailable(result.reason)) {
      WaitAgain(std::move(write));
    } else {
      NotDone(write, result.reason);
    }
  }
}

std::optional<raft::Propose> Writes::Propose(wal::Log& log, NextId next_id) {
  raft::Propose propose{.request = raft::RequestId(next_id())};
  wal::Demand demand;
  for (Write& write : std::exchange(waiting_, {})) {
    // One that is refused leaves its room to those behind it.
    wal::Demand with_it = demand;
    with_it.Add(write.command->size());
    if (absl::Status status = log.Admit(with_it); !status.ok()) {
      NotDone(write, std::move(status));
      continue;
    }
    demand = with_it;
    propose.payloads.push_back(write.command);
    proposed_.push_back(std::move(write));
  }
  if (propose.payloads.empty()) return std::nullopt;
  return propose;
}

// The first ones became entries; the rest was refused, and will never be done unless it is proposed
// again.
void Writes::OnProposed(const raft::ProposalResult& result, const raft::Core& core) {
  std::vector<Write> proposed = std::exchange(proposed_, {});
  MOKV_CHECK_LE(result.accepted, proposed.size());
  for (size_t i = 0; i < proposed.size(); ++i) {
    if (i < result.accepted) {
      entries_.Add({result.first.index + i, result.first.term}, std::move(proposed[i]));
    } else if (result.refusal == raft::Refusal::kTooMuchUncommitted) {
      NotDone(proposed[i], ResourceExhausted("{} bytes of writes wait for a quorum already",
                                             core.uncommitted_bytes()));
    } else {
      WaitAgain(std::move(proposed[i]));
    }
  }
}

// Who is answered may come back with the next write: nobody is while the list is being walked.
std::vector<Write> Writes::TakeWaiting(absl::FunctionRef<bool(const Write&)> which) {
  std::vector<Write> out;
  for (std::vector<Write>* from : {&waiting_, &held_}) {
    const auto taken = std::stable_partition(from->begin(), from->end(),
                                             [&](const Write& write) { return !which(write); });
    std::move(taken, from->end(), std::back_inserter(out));
    from->erase(taken, from->end());
  }
  return out;
}

void Writes::Forward(raft::NodeId leader, Peers& peers, NextId next_id) {
  std::vector<Write> waiting = std::exchange(waiting_, {});
  const auto moved = [&](size_t i) {
    return std::make_move_iterator(waiting.begin() + static_cast<ptrdiff_t>(i));
  };
  size_t next = 0;
  while (next < waiting.size()) {
    replica::Forward forward{.id = ForwardId(next_id())};
    ForwardedWrites& forwarded = std::get<ForwardedWrites>(forward.body);
    const MonotonicTime now = clock_.Now();
    uint64_t bytes = 0;
    size_t end = next;
    for (; end < waiting.size(); ++end) {
      const Write& write = waiting[end];
      bytes += write.command->size();
      if (end > next && bytes > kForwardBytesMax) break;
      forwarded.writes.push_back({write.command, write.subject});
      forward.wait = std::max(forward.wait, write.give_up_at - now);
    }
    const ConnectionId connection = peers.SendForward(leader, forward);
    if (connection == ConnectionId()) break;  // Certainly not sent.
    forwarded_ += end - next;
    at_leader_.Add(forward.id, leader, connection, {moved(next), moved(end)});
    next = end;
  }
  if (next == waiting.size()) return;
  blocked_ = true;
  waiting_.insert(waiting_.begin(), moved(next), moved(waiting.size()));
}

void Writes::OnApplied(const std::vector<Entry>& entries,
                       std::span<const machine::Result> results) {
  MOKV_CHECK_EQ(entries.size(), results.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    std::optional<Write> write =
        entries_.OnApplied({entries[i].index, entries[i].term}, superseded_);
    if (!write.has_value()) continue;
    ++applied_;
    finished_.push_back(
        {*std::move(write),
         {.fate = WriteResult::Fate::kApplied, .applied = results[i], .reason = {}}});
  }
}

void Writes::OnInstalled(Index last) {
  Unknown(
      entries_.TakeThrough(last),
      "the leader's snapshot has taken the place of the entry on this node, which does not know "
      "what became of it");
}

void Writes::AnswerApplied() {
  for (Finished& finished : std::exchange(finished_, {})) Answer(finished.write, finished.result);
  for (Write& write : std::exchange(superseded_, {})) WaitAgain(std::move(write));
}

void Writes::OnForwardAnswer(ForwardId id, ConnectionId connection,
                             std::vector<WriteResult> results, raft::NodeId leader) {
  WritesAtLeader::Batch batch = at_leader_.OnAnswer(id, connection);
  for (size_t i = 0; i < batch.writes.size(); ++i) {
    if (!batch.writes[i].has_value()) continue;  // Given up in the meantime.
    Write& write = *batch.writes[i];
    if (i >= results.size()) {
      ++unknown_;
      Answer(write, {.fate = WriteResult::Fate::kUnknown,
                     .reason = Unavailable("the leader's answer is incomplete")});
      continue;
    }
    const bool moved =
        results[i].fate == WriteResult::Fate::kNotDone && absl::IsUnavailable(results[i].reason);
    if (moved) {
      // Until the leader that it knows of is known here, too, unless it is already.
      if (batch.leader == leader) blocked_ = true;
      WaitAgain(std::move(write));
    } else {
      Answer(write, write.in_doubt ? InDoubt(results[i]) : results[i]);
    }
  }
}

void Writes::OnConnectionClosed(ConnectionId connection) {
  std::vector<Write> lost;
  for (Write& write : at_leader_.OnClosed(connection)) {
    if (!write.may_repeat) {
      lost.push_back(std::move(write));
      continue;
    }
    write.in_doubt = true;
    WaitAgain(std::move(write));
  }
  Unknown(std::move(lost), "the connection to the leader broke");
}

// Of a write that may have been carried out by an attempt before this one.
WriteResult Writes::InDoubt(WriteResult result) {
  using Outcome = machine::Result::Outcome;
  const auto unknown = [&](absl::Status reason) {
    ++unknown_;
    return WriteResult{.fate = WriteResult::Fate::kUnknown, .reason = std::move(reason)};
  };
  if (result.fate == WriteResult::Fate::kNotDone) return unknown(std::move(result.reason));
  if (result.fate != WriteResult::Fate::kApplied) return result;
  // In between the session may have ended, with the answer of the first attempt.
  if (result.applied.outcome == Outcome::kNoSession ||
      result.applied.outcome == Outcome::kAnswerGone) {
    return unknown(absl::FailedPreconditionError(
        "the session that the write was sent in has ended, or keeps its answer no more"));
  }
  return result;
}

// Certainly not done so far: it waits for a leader again, unless who waits has no more time.
void Writes::WaitAgain(Write write) {
  if (write.only_here || clock_.Now() >= write.give_up_at) {
    NotDone(write, Unavailable("leadership has moved"));
    return;
  }
  Add(std::move(write));
}

void Writes::Expire(MonotonicTime now, bool leads, std::string_view no_leader) {
  for (Write& write : TakeWaiting([&](const Write& w) { return w.give_up_at <= now; })) {
    NotDone(write, Unavailable("{}", no_leader));
  }
  // While this node leads, its answer is still the most likely thing to come.
  if (!leads && entries_.size() > 0) {
    Unknown(entries_.TakeExpired(now), "no leader has committed the write in time");
  }
  if (at_leader_.size() > 0) {
    Unknown(at_leader_.TakeExpired(now), "the leader has not answered in time");
  }
}

void Writes::FailAll(std::string_view why) {
  // Keep-alives that were gathered wait again, each for itself, before they are told.
  while (!waiting_.empty() || !held_.empty()) {
    for (Write& write : TakeWaiting([](const Write&) { return true; })) {
      NotDone(write, Unavailable("{}", why));
    }
  }
  // Applied, perhaps to a state that is not to be believed.
  std::vector<Write> finished;
  for (Finished& one : std::exchange(finished_, {})) finished.push_back(std::move(one.write));
  Unknown(std::move(finished), why);
  for (Write& write : std::exchange(superseded_, {})) NotDone(write, Unavailable("{}", why));
  Unknown(entries_.TakeAll(), why);
  Unknown(at_leader_.TakeExpired(MonotonicTime::Max()), why);
}

void Writes::NotDone(Write& write, absl::Status reason) {
  if (write.in_doubt) {
    return Answer(write,
                  InDoubt({.fate = WriteResult::Fate::kNotDone, .reason = std::move(reason)}));
  }
  refused_.fetch_add(1, std::memory_order_relaxed);
  Answer(write, {.fate = WriteResult::Fate::kNotDone, .reason = std::move(reason)});
}

void Writes::Unknown(std::vector<Write> writes, std::string_view why) {
  unknown_ += writes.size();
  for (Write& write : writes) {
    Answer(write, {.fate = WriteResult::Fate::kUnknown, .reason = Unavailable("{}", why)});
  }
}

void Writes::Answer(Write& write, const WriteResult& result) {
  MOKV_CHECK_GT(pending_.load(), 0u);
  MOKV_CHECK(result.fate == WriteResult::Fate::kApplied || !result.reason.ok());
  --pending_;
  pending_bytes_ -= write.command->size();
  write.done(result);
  TellIfIdle();
}

void Writes::WhenIdle(Task done) {
  when_idle_ = std::move(done);
  TellIfIdle();
}

void Writes::TellIfIdle() {
  if (when_idle_ != nullptr && pending_ == 0) std::exchange(when_idle_, nullptr)();
}

}  // namespace mokv::replica
