// ReplicaNode: what is checked of its core, its log and its state.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "sim/replica_node.h"

namespace mokv::sim {
namespace {

// Of a log's entries at a time.
constexpr uint64_t kReadBytes = 1 << 20;

}  // namespace

// The log must have what was durable when the last life ended. What it has is on the disk.
void ReplicaNode::BeginChecks() {
  if (checked_ || core() == nullptr) return;
  checked_ = true;
  const raft::testing::Disk before = std::exchange(disks_.now, raft::testing::Disk());
  raft::testing::Disk& disk = disks_.now;
  const Index first = life_->log->first_index();
  disk.base = {first - 1, *life_->log->TermAt(first - 1)};
  const raft::LogView& view = core()->log();
  if (view.base().index > Index()) {
    disk.snapshot = {.last = view.base(), .membership = view.MembershipAt(view.base().index)};
    // Nothing is left of a log from before it.
    if (disk.base == view.base()) installed_ = view.base().index;
  }
  for (Index next = first; next <= life_->log->last_index(); next = disk.last().index.next()) {
    auto entries = life_->log->Read(next, kReadBytes);
    if (!entries.ok()) {
      return shared_.told.Fail("durable: {}: {}", id(), entries.status().ToString());
    }
    for (Entry& entry : *entries) {
      if (entry.index == disk.last().index.next()) disk.entries.push_back(std::move(entry));
    }
  }
  disk.hard_state = life_->log->found().hard_state;
  // Of a cluster that has just begun, or with a snapshot of a term that was not heard of before.
  if (disk.hard_state.term < core()->term()) disk.hard_state = {.term = core()->term()};
  CheckRecovered(before);
  writes_.clear();
  applied_ = Index();
  node_.invariants.OnStart(*core(), disk);
  node_.rules.OnStart(*core(), disk, node_.host.Now(place_));
}

// What was not durable may be there as well, and may have truncated what was.
void ReplicaNode::CheckRecovered(const raft::testing::Disk& before) {
  const raft::testing::Disk& now = disks_.now;
  Index cut = before.last().index.next();
  for (const raft::PersistRequest& write : writes_) {
    if (write.truncate_from.has_value()) cut = std::min(cut, *write.truncate_from);
    if (write.install.has_value()) cut = before.base.index.next();
  }
  const auto term_before = [&](Index index) {
    return before.entries[index - before.base.index - 1].term;
  };
  // A snapshot that is on the disk takes the place of a log that contradicts it.
  if (now.snapshot.has_value()) {
    const raft::Position end = now.snapshot->last;
    if (end.index > before.base.index && end.index < cut && term_before(end.index) != end.term) {
      cut = end.index;
    }
  }
  const Index last = cut - 1;
  if (last > before.base.index && !now.Holds({last, term_before(last)})) {
    shared_.told.Fail("durable: {} has lost entry {}, which was on its disk", id(), last);
  }
  const HardState& was = before.hard_state;
  const bool same_term = now.hard_state.term == was.term;
  if (now.hard_state.term < was.term ||
      (same_term && !was.vote.empty() && now.hard_state.vote != was.vote)) {
    shared_.told.Fail("durable: {} has lost its term {} or its vote", id(), was.term);
  }
}

// It is in the state that the step before has brought it to.
void ReplicaNode::CheckCore(const raft::Core& core) {
  BeginChecks();
  node_.invariants.OnTransition(core);
  if (!ticked_.has_value()) return;
  node_.rules.OnTicked(core, *std::exchange(ticked_, std::nullopt));
  CheckStall(core);
}

void ReplicaNode::OnStep(const raft::Core& core, const raft::Event& event) {
  if (life_ == nullptr) return;
  CheckCore(core);
  if (const auto* receive = std::get_if<raft::Receive>(&event)) {
    node_.rules.OnReceive(core, receive->message, node_.host.Now(place_));
    WatchLoss(core, receive->message);
  } else if (const auto* closed = std::get_if<raft::ConnectionClosed>(&event)) {
    node_.rules.OnConnectionClosed(core, closed->peer);
  } else if (std::holds_alternative<raft::Tick>(event)) {
    ticked_ = node_.host.Now(place_);
  } else if (const auto* taken = std::get_if<raft::SnapshotTaken>(&event)) {
    ++node_.coverage.snapshots_taken;
    node_.timeline.Note(place_, "has a snapshot of {}", raft::ToString(taken->snapshot.last));
  } else if (const auto* cut = std::get_if<raft::LogCompacted>(&event)) {
    ++node_.coverage.compactions;
    node_.timeline.Note(place_, "cuts its log up to {}", cut->through);
  }
}

void ReplicaNode::OnOutput(const raft::Core& core, const raft::Output& output) {
  if (life_ == nullptr) return;
  CheckCore(core);
  if (output.standing.has_value()) {
    node_.timeline.Note(place_, "is {} of term {}{}", raft::RoleName(output.standing->role),
                        output.standing->term, output.standing->can_serve ? ", serving" : "");
  }
  if (output.persist.has_value()) {
    node_.invariants.OnPersist(core, *output.persist);
    node_.rules.OnPersist(core, *output.persist);
    if (output.persist->truncate_from.has_value()) {
      node_.timeline.Note(place_, "truncates from {}", *output.persist->truncate_from);
    }
    if (const auto& install = output.persist->install; install.has_value()) {
      ++node_.coverage.installed;
      installed_ = install->last.index;
      node_.timeline.Note(place_, "installs snapshot {}", raft::ToString(install->last));
    }
    if (writes_.empty()) disk_news_ = node_.host.Now(place_);
    writes_.push_back(*output.persist);
    node_.on_write(place_);
  }
  for (const raft::Message& message : output.messages) {
    node_.invariants.OnSend(core, message, disks_.now);
    node_.rules.OnSend(core, message);
    CheckLoss(message);
  }
  node_.invariants.OnCommitted(core, output.committed, node_.holds);
  for (const Entry& entry : output.committed) {
    shared_.told.OnCommitted(entry);
    if (entry.type != EntryType::kConfiguration) continue;
    const auto membership = raft::Membership::Decode(entry.bytes());
    MOKV_CHECK(membership.ok());
    if (membership->joint()) ++node_.coverage.joint_committed;
    node_.timeline.Note(place_, "applies {}: {}", entry.index, raft::ToString(*membership));
  }
  CountResults(output);
  node_.rules.OnTurn(core, node_.host.Now(place_), /*ticked=*/false, output.membership_changed);
}

void ReplicaNode::CountResults(const raft::Output& output) {
  for (const raft::ProposalResult& result : output.proposals) {
    node_.coverage.proposals += result.accepted;
    if (result.refusal == raft::Refusal::kTransferring) ++node_.coverage.refused_transferring;
    if (result.refusal == raft::Refusal::kTooMuchUncommitted) ++node_.coverage.refused_uncommitted;
  }
  for (const raft::ReadResult& result : output.reads) {
    if (result.refusal != raft::Refusal::kNone) ++node_.coverage.reads_refused;
  }
  if (output.more_committed) ++node_.coverage.applied_in_parts;
}

// On the log's thread.
void ReplicaNode::OnDurable(const wal::Durable& durable) {
  if (log_failed_) {
    shared_.told.Fail("fatal: {} goes on, although a sync of its log has failed", id());
  }
  while (!writes_.empty() &&
         replica::Replica::LogTicket(writes_.front().ticket) <= durable.ticket) {
    ++node_.coverage.writes;
    disks_.now.Write(writes_.front());
    writes_.pop_front();
    disk_news_ = node_.host.Now(place_);
  }
}

// What has its name is whole, unless somebody has changed it since.
void ReplicaNode::CheckSnapshots() {
  const auto names = files_->List("snapshots");
  if (!names.ok() || rotten_) return;
  for (const std::string& name : *names) {
    if (name.ends_with(".damaged")) shared_.told.Fail("snapshot: {}: {} is damaged", id(), name);
  }
}

void ReplicaNode::CheckState() {
  CheckFenced();
  CheckEnd();
  EndLoss();
  if (core() == nullptr || core()->applied() == applied_) return;
  applied_ = core()->applied();
  const store::Digest digest = life_->machine.digest();
  if (!IsWhole(digest)) return;
  shared_.told.CheckState(place_, applied_, life_->machine.revision().value(),
                          life_->machine.sessions());
  node_.rules.OnApplied(id(), applied_, digest.low ^ (digest.high << 1));
}

}  // namespace mokv::sim
