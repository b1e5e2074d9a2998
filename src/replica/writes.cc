// Replica: where writes go, and how they are answered.
//
// A write waits until a leader is known; then it becomes an entry here, or is forwarded, once.
// While it waits it is certainly not done, and so may wait again when it was refused for the
// moment.
#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "replica/replica.h"

namespace mokv::replica {
namespace {

// Of commands in one forward; a single larger one goes alone.
constexpr uint64_t kForwardBytesMax = uint64_t{4} << 20;

}  // namespace

// Limits that need no data are checked where a write is proposed: what is applied depends on the
// log alone.
absl::Status Replica::Admit(const machine::Command& command, uint64_t bytes) const {
  if (!accepting_) return Unavailable("the node is stopping; nothing was written");
  if (!open_) return Unavailable("the node is starting; nothing was written");
  if (const uint64_t pending = proposals_pending_.load();
      pending >= options_.proposals_pending_max) {
    return ResourceExhausted("{} writes are waiting already; limit {}", pending,
                             options_.proposals_pending_max);
  }
  if (const uint64_t waiting = proposals_bytes_.load();
      waiting > 0 && waiting + bytes > options_.proposals_bytes_max) {
    return ResourceExhausted("writes of {} bytes are waiting already; limit {}", waiting,
                             options_.proposals_bytes_max);
  }
  if (const uint64_t used = machine_.memory_bytes(); options_.memory_bytes_max > 0 &&
                                                     used >= options_.memory_bytes_max &&
                                                     machine::MayGrow(command)) {
    return ResourceExhausted(
        "the store has {} bytes of memory; max-memory-bytes is {}; delete "
        "something",
        used, options_.memory_bytes_max);
  }
  return absl::OkStatus();
}

// What is in the log must be understood by every node, or none can go on. So a leader looks into
// what others pass on: one of a newer version may know commands that this one does not.
absl::Status Replica::AdmitForwarded(const std::string& bytes) const {
  const absl::StatusOr<machine::Command> command = machine::DecodeCommand(bytes);
  if (!command.ok()) {
    return FailedPrecondition("the leader does not know this command: {}; nothing was written",
                              MessageOf(command.status()));
  }
  return Admit(*command, bytes.size());
}

void Replica::RouteWrites() {
  if (waiting_writes_.empty()) return;
  if (core_->role() == raft::Role::kLeader) {
    if (!core_->transferring()) ProposeWaiting();
    return;
  }
  RefuseWaitingOfPeers();
  if (core_->leader() != raft::NodeId() && !writes_blocked_) ForwardWaiting(core_->leader());
}

void Replica::ProposeWaiting() {
  raft::Propose propose{.request = raft::RequestId(++last_id_)};
  wal::Demand demand;
  for (Write& write : std::exchange(waiting_writes_, {})) {
    // One that is refused leaves its room to those behind it.
    wal::Demand with_it = demand;
    with_it.Add(write.command->size());
    if (absl::Status status = log_->Admit(with_it); !status.ok()) {
      NotDone(write, std::move(status));
      continue;
    }
    demand = with_it;
    propose.payloads.push_back(write.command);
    proposed_.push_back(std::move(write));
  }
  if (!propose.payloads.empty()) core_->Step(clock_.Now(), std::move(propose));
}

// The first ones became entries; the rest was refused, and will never be done unless it is proposed
// again.
void Replica::OnProposed(const raft::ProposalResult& result) {
  std::vector<Write> proposed = std::exchange(proposed_, {});
  MOKV_CHECK_LE(result.accepted, proposed.size());
  for (size_t i = 0; i < proposed.size(); ++i) {
    if (i < result.accepted) {
      pending_writes_.Add({result.first.index + i, result.first.term}, std::move(proposed[i]));
    } else if (result.refusal == raft::Refusal::kTooMuchUncommitted) {
      NotDone(proposed[i],
              ResourceExhausted("{} bytes of writes wait for a quorum already; nothing was written",
                                core_->uncommitted_bytes()));
    } else {
      WaitAgain(std::move(proposed[i]));
    }
  }
}

// Who is answered may come back with the next write: nobody is while the list is being walked.
std::vector<Write> Replica::TakeWaiting(absl::FunctionRef<bool(const Write&)> which) {
  const auto taken = std::stable_partition(waiting_writes_.begin(), waiting_writes_.end(),
                                           [&](const Write& write) { return !which(write); });
  std::vector<Write> out(std::make_move_iterator(taken),
                         std::make_move_iterator(waiting_writes_.end()));
  waiting_writes_.erase(taken, waiting_writes_.end());
  return out;
}

void Replica::RefuseWaitingOfPeers() {
  for (Write& write : TakeWaiting([](const Write& waiting) { return waiting.from_peer; })) {
    NotDone(write, Unavailable("this node does not lead; nothing was written"));
  }
}

void Replica::ForwardWaiting(raft::NodeId leader) {
  std::vector<Write> waiting = std::exchange(waiting_writes_, {});
  size_t next = 0;
  while (next < waiting.size()) {
    Forward forward{.id = ForwardId(++last_id_)};
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
    const ConnectionId connection = peers_->SendForward(leader, forward);
    if (connection == ConnectionId()) break;  // Certainly not sent.
    counters_.forwarded += end - next;
    writes_at_leader_.Add(forward.id, leader, connection,
                          {std::make_move_iterator(waiting.begin() + static_cast<ptrdiff_t>(next)),
                           std::make_move_iterator(waiting.begin() + static_cast<ptrdiff_t>(end))});
    next = end;
  }
  if (next == waiting.size()) return;
  writes_blocked_ = true;
  waiting_writes_.insert(waiting_writes_.begin(),
                         std::make_move_iterator(waiting.begin() + static_cast<ptrdiff_t>(next)),
                         std::make_move_iterator(waiting.end()));
}

// Another node's clients. Their limits were checked there; this node's own are checked here.
void Replica::AcceptForwarded(ConnectionId connection, ForwardId id, MonotonicTime give_up_at,
                              ForwardedWrites forwarded) {
  const auto owed = std::make_shared<OwedAnswer>(*peers_, connection, id, forwarded.writes.size());
  counters_.forwarded_here += forwarded.writes.size();
  for (size_t i = 0; i < forwarded.writes.size(); ++i) {
    ForwardedWrites::Write& taken = forwarded.writes[i];
    Write write{.command = std::move(taken.command),
                .subject = std::move(taken.subject),
                .give_up_at = give_up_at,
                .from_peer = true,
                .done = [owed, i](const WriteResult& result) { owed->Set(i, result); }};
    const absl::Status status = AdmitForwarded(*write.command);
    ++proposals_pending_;
    proposals_bytes_ += write.command->size();
    if (!status.ok()) {
      NotDone(write, status);
    } else {
      Handle(std::move(write));
    }
  }
}

void Replica::AnswerForwarded(WritesAtLeader::Batch batch, std::vector<WriteResult> results) {
  for (size_t i = 0; i < batch.writes.size(); ++i) {
    if (!batch.writes[i].has_value()) continue;  // Given up in the meantime.
    Write& write = *batch.writes[i];
    if (i >= results.size()) {
      ++counters_.proposals_unknown;
      Answer(write, {.fate = WriteResult::Fate::kUnknown,
                     .reason = Unavailable("the leader's answer is incomplete; outcome unknown")});
      continue;
    }
    const bool moved =
        results[i].fate == WriteResult::Fate::kNotDone && absl::IsUnavailable(results[i].reason);
    if (moved) {
      // Until the leader that it knows of is known here, too, unless it is already.
      if (batch.leader == core_->leader()) writes_blocked_ = true;
      WaitAgain(std::move(write));
      ScheduleTurn();
    } else {
      Answer(write, results[i]);
    }
  }
}

// Certainly not done so far: it waits for a leader again, unless who waits has no more time.
void Replica::WaitAgain(Write write) {
  if (write.from_peer || clock_.Now() >= write.give_up_at) {
    NotDone(write, Unavailable("leadership has moved; nothing was written"));
    return;
  }
  waiting_writes_.push_back(std::move(write));
}

void Replica::NotDone(Write& write, absl::Status reason) {
  proposals_refused_.fetch_add(1, std::memory_order_relaxed);
  Answer(write, {.fate = WriteResult::Fate::kNotDone, .reason = std::move(reason)});
}

void Replica::Unknown(std::vector<Write> writes, std::string_view why) {
  counters_.proposals_unknown += writes.size();
  for (Write& write : writes) {
    Answer(write, {.fate = WriteResult::Fate::kUnknown,
                   .reason = Unavailable("{}; outcome unknown", why)});
  }
}

void Replica::Answer(Write& write, const WriteResult& result) {
  --proposals_pending_;
  proposals_bytes_ -= write.command->size();
  write.done(result);
  TellIfIdle();
}

void Replica::WhenIdle(Task done) {
  executors_.replica.Post([this, done = std::move(done)]() mutable {
    when_idle_ = std::move(done);
    TellIfIdle();
  });
}

void Replica::TellIfIdle() {
  if (when_idle_ != nullptr && proposals_pending_ == 0) std::exchange(when_idle_, nullptr)();
}

void Replica::ExpireWrites(MonotonicTime now) {
  for (Write& write : TakeWaiting([&](const Write& w) { return w.give_up_at <= now; })) {
    NotDone(write, !started_ ? Unavailable("the node is starting; nothing was written")
                             : Unavailable("no leader; nothing was written"));
  }
  // While this node leads, its answer is still the most likely thing to come.
  const bool leads = core_ != nullptr && core_->can_serve();
  if (!leads && pending_writes_.size() > 0) {
    Unknown(pending_writes_.TakeExpired(now), "no leader has committed the write in time");
  }
  if (writes_at_leader_.size() > 0) {
    Unknown(writes_at_leader_.TakeExpired(now), "the leader has not answered in time");
  }
}

// The node takes no part any more: nobody is left waiting, and nobody is told more than is known.
void Replica::FailEverything(std::string_view why) {
  if (std::exchange(failed_, true)) return;
  failure_ = why;
  gone_ = true;
  if (core_ != nullptr) RaiseLease();
  if (serving_.exchange(false) && callbacks_.on_serving_changed) {
    callbacks_.on_serving_changed(false);
  }
  for (Write& write : std::exchange(waiting_writes_, {})) {
    NotDone(write, Unavailable("{}; nothing was written", why));
  }
  Unknown(pending_writes_.TakeAll(), why);
  Unknown(writes_at_leader_.TakeExpired(MonotonicTime::Max()), why);
  for (WaitingRead& read : reads_.TakeAll()) {
    --reads_waiting_;
    read.ready(Unavailable("{}", why));
  }
  administration_.FailAll();
}

}  // namespace mokv::replica
