#include "replica/replica.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "raft/configuration.pb.h"

namespace mokv::replica {
namespace {

constexpr uint64_t kRecoveredAtOnce = 1024;

}  // namespace

Replica::Replica(Executor& executor, const Clock& clock, store::Store& store, Options options,
                 Callbacks callbacks)
    : executor_(executor),
      clock_(clock),
      store_(store),
      options_(std::move(options)),
      callbacks_(std::move(callbacks)) {}

Replica::~Replica() = default;

absl::Status Replica::Recover(const wal::EntryView& entry) {
  MOKV_CHECK(log_ == nullptr);
  if (entry.index != last_index_.next()) {
    return DataLoss("log entry {} follows entry {}", entry.index, last_index_);
  }
  if (entry.index == Index(1) && entry.type != EntryType::kConfiguration) {
    return DataLoss("log entry 1 is not the cluster's initial configuration");
  }
  MOKV_RETURN_IF_ERROR(ApplyEntry(entry).status());
  last_index_ = entry.index;
  // What is overwritten on the way is given back only then.
  if (entry.index.value() % kRecoveredAtOnce == 0) store_.Publish();
  commit_index_ = entry.index.value();
  applied_index_ = entry.index.value();
  return absl::OkStatus();
}

void Replica::Start(wal::Log& log, std::optional<std::string> new_cluster_id) {
  store_.Publish();
  log_ = &log;
  hard_state_ = log.recovery().hard_state;
  MOKV_CHECK_EQ(last_index_, log.recovery().last_index);
  started_ = true;
  const bool empty = last_index_ == Index(0);
  if (empty && !new_cluster_id.has_value()) {
    term_ = hard_state_.term.value();
    return;
  }
  // The only voter elects itself: a new term and its own vote, durable before it acts on them,
  // and then an entry of that term, before which nothing may be read (Raft dissertation, 6.4).
  hard_state_.term = hard_state_.term.next();
  hard_state_.vote = options_.node_id;
  hard_state_changed_ = true;
  term_ = hard_state_.term.value();
  if (empty) {
    raft::Configuration configuration;
    configuration.set_cluster_id(*new_cluster_id);
    raft::Configuration::Member& member = *configuration.add_members();
    member.set_id(options_.node_id);
    member.set_instance_id(options_.instance_id);
    member.set_rpc_address(options_.rpc_address);
    AddEntry(EntryType::kConfiguration,
             std::make_shared<const std::string>(configuration.SerializeAsString()), nullptr);
  }
  AddEntry(EntryType::kNoOp, nullptr, nullptr);
  PersistNewEntries();
}

void Replica::Enqueue(Event event) {
  bool was_empty;
  {
    MutexLock lock(mutex_);
    was_empty = inbox_.empty();
    inbox_.push_back(std::move(event));
  }
  if (was_empty) executor_.Post([this] { Turn(); });
}

void Replica::OnDurable(Index last, Term term) { Enqueue(Durable{last, term}); }
void Replica::OnLogFailure(absl::Status reason) { Enqueue(LogFailed{std::move(reason)}); }

void Replica::Refuse(WriteDone& done, absl::Status reason) {
  proposals_refused_.fetch_add(1, std::memory_order_relaxed);
  done({.fate = WriteResult::Fate::kNotDone, .reason = std::move(reason)});
}

void Replica::Propose(store::Command command, WriteDone done) {
  if (!accepting_) return Refuse(done, Unavailable("the node is stopping"));
  if (!serving_) return Refuse(done, Unavailable("no leader"));
  if (proposals_pending_.load() >= options_.proposals_pending_max) {
    return Refuse(done,
                  ResourceExhausted("{} writes are waiting already; limit {}",
                                    proposals_pending_.load(), options_.proposals_pending_max));
  }
  if (const uint64_t used = store_.memory_bytes();
      options_.memory_bytes_max > 0 && used >= options_.memory_bytes_max &&
      std::holds_alternative<store::SetCommand>(command)) {
    return Refuse(done, ResourceExhausted("the store has {} bytes of memory; max-memory-bytes is "
                                          "{}; delete something",
                                          used, options_.memory_bytes_max));
  }
  auto payload = std::make_shared<const std::string>(store::EncodeCommand(command));
  // A good guess, so that most refusals cost nothing; the replica thread asks again.
  wal::Demand demand;
  demand.Add(payload->size());
  if (absl::Status status = log_->Admit(demand); !status.ok()) {
    return Refuse(done, std::move(status));
  }
  ++proposals_pending_;
  Enqueue(Proposal{std::move(payload), std::move(done)});
}

bool Replica::CanReadNow(const ReadRequirement& requirement) const {
  // A store that is still being recovered has less than was acknowledged.
  if (!started_.load(std::memory_order_acquire)) return false;
  if (requirement.linearizable && !serving_.load(std::memory_order_acquire)) return false;
  return requirement.min_revision <= store_.revision();
}

void Replica::WaitForRead(const ReadRequirement& requirement, MonotonicTime give_up_at,
                          ReadReady ready) {
  if (reads_waiting_.load() >= options_.reads_waiting_max) {
    ready(ResourceExhausted("{} reads are waiting already; limit {}", reads_waiting_.load(),
                            options_.reads_waiting_max));
    return;
  }
  ++reads_waiting_;
  Enqueue(WaitingRead{requirement, give_up_at, std::move(ready)});
}

void Replica::Turn() {
  {
    MutexLock lock(mutex_);
    batch_.swap(inbox_);
  }
  for (Event& event : batch_) {
    std::visit([this](auto& alternative) { Handle(alternative); }, event);
  }
  batch_.clear();
  PersistNewEntries();
  ApplyCommitted();
  ReleaseReads();
}

void Replica::Handle(Proposal& proposal) {
  if (failed_) {
    --proposals_pending_;
    Refuse(proposal.done, Unavailable("the node is stopping: its log has failed"));
    return;
  }
  wal::Demand demand = new_demand_;
  demand.Add(proposal.payload->size());
  if (absl::Status status = log_->Admit(demand); !status.ok()) {
    --proposals_pending_;
    Refuse(proposal.done, std::move(status));
    return;
  }
  AddEntry(EntryType::kCommand, std::move(proposal.payload), std::move(proposal.done));
}

void Replica::AddEntry(EntryType type, std::shared_ptr<const std::string> payload, WriteDone done) {
  ++last_index_;
  Entry entry{last_index_, hard_state_.term, type, std::move(payload)};
  new_demand_.Add(entry.bytes().size());
  new_entries_.push_back(entry);
  pending_.push_back({std::move(entry), std::move(done)});
}

void Replica::PersistNewEntries() {
  if (new_entries_.empty()) return;
  wal::Write write;
  write.entries = std::exchange(new_entries_, {});
  if (hard_state_changed_) write.hard_state = hard_state_;
  log_->Append(std::move(write));
  hard_state_changed_ = false;
  new_demand_ = {};
  batches_.fetch_add(1, std::memory_order_relaxed);
}

void Replica::Handle(Durable& durable) {
  if (durable.last == Index(0)) return;
  // A single voter's quorum is its own disk; only entries of the own term are committed by
  // counting (Raft paper, 5.4.2), and the no-op at the start is the first of them.
  if (durable.term != hard_state_.term) return;
  MOKV_CHECK_LE(durable.last, last_index_);
  commit_index_ = std::max(commit_index_.load(), durable.last.value());
}

void Replica::Handle(LogFailed& failed) {
  failed_ = true;
  SetServing(false);
  for (PendingEntry& entry : pending_) {
    if (entry.done == nullptr) continue;
    --proposals_pending_;
    entry.done({.fate = WriteResult::Fate::kUnknown,
                .reason = Unavailable("the node's log failed; outcome unknown")});
  }
  pending_.clear();
  new_entries_.clear();
  callbacks_.on_fatal(failed.reason);
}

absl::StatusOr<store::ApplyResult> Replica::ApplyEntry(const wal::EntryView& entry) {
  switch (entry.type) {
    case EntryType::kNoOp:
      return store::ApplyResult{};
    case EntryType::kConfiguration: {
      raft::Configuration configuration;
      if (!configuration.ParseFromArray(entry.payload.data(),
                                        static_cast<int>(entry.payload.size()))) {
        return DataLoss("log entry {}: the configuration does not parse", entry.index);
      }
      if (entry.index == Index(1)) {
        MutexLock lock(mutex_);
        cluster_id_ = configuration.cluster_id();
      }
      return store::ApplyResult{};
    }
    case EntryType::kCommand: {
      absl::StatusOr<store::Command> command = store::DecodeCommand(entry.payload);
      if (!command.ok()) {
        return DataLoss("log entry {}: {}", entry.index, MessageOf(command.status()));
      }
      return store_.Apply(*command);
    }
  }
  return DataLoss("log entry {} has type {}, which this version does not know", entry.index,
                  static_cast<int>(entry.type));
}

void Replica::ApplyCommitted() {
  if (failed_ || applied_index_ == commit_index_) return;
  while (!pending_.empty() && pending_.front().entry.index.value() <= commit_index_) {
    PendingEntry& next = pending_.front();
    const Entry& entry = next.entry;
    absl::StatusOr<store::ApplyResult> applied =
        ApplyEntry({entry.index, entry.term, entry.type, entry.bytes()});
    // We made this entry ourselves.
    MOKV_CHECK(applied.ok());
    if (next.done != nullptr) {
      answers_.push_back(
          {std::move(next.done), {.fate = WriteResult::Fate::kApplied, .applied = *applied}});
    }
    pending_.pop_front();
  }
  // Readers first: whoever has been told that a write is done must find it.
  store_.Publish();
  applied_index_ = commit_index_.load();
  SetServing(true);
  for (Answer& answer : answers_) {
    --proposals_pending_;
    proposals_applied_.fetch_add(1, std::memory_order_relaxed);
    answer.done(answer.result);
  }
  answers_.clear();
}

void Replica::Handle(WaitingRead& read) { waiting_reads_.push_back(std::move(read)); }

void Replica::ReleaseReads() {
  if (waiting_reads_.empty()) return;
  const MonotonicTime now = clock_.Now();
  std::erase_if(waiting_reads_, [&](WaitingRead& read) {
    absl::Status status;
    if (!CanReadNow(read.requirement)) {
      if (now < read.give_up_at) return false;
      status = !started_ ? Unavailable("the node is starting")
               : read.requirement.linearizable && !serving_
                   ? Unavailable("no leader")
                   : Unavailable("revision {} has not been applied on this node, which is at {}",
                                 read.requirement.min_revision, store_.revision());
    }
    --reads_waiting_;
    read.ready(status);
    return true;
  });
}

void Replica::Tick() {
  ReleaseReads();
  if (started_) store_.Reclaim();
  if (log_ != nullptr) log_->Tick();
}

void Replica::StopAccepting() { accepting_ = false; }

void Replica::SetServing(bool serving) {
  if (serving_.exchange(serving) == serving) return;
  if (callbacks_.on_serving_changed) callbacks_.on_serving_changed(serving);
}

std::string Replica::cluster_id() const {
  MutexLock lock(mutex_);
  return cluster_id_;
}

Status Replica::status() const {
  Status status;
  status.has_leader = serving_;
  status.role = serving_ ? Role::kLeader : Role::kFollower;
  status.term = Term(term_);
  status.commit_index = Index(commit_index_);
  status.applied_index = Index(applied_index_);
  status.proposals_pending = proposals_pending_;
  status.proposals_refused = proposals_refused_;
  status.proposals_applied = proposals_applied_;
  status.batches = batches_;
  return status;
}

}  // namespace mokv::replica
