// Core: snapshots (§5). The owner takes, keeps and streams them; this file decides when one is
// sent, and what one that arrives changes.
#include "base/check.h"
#include "raft/core.h"
#include "raft/coverage.h"

namespace mokv::raft {

void Core::On(SnapshotTaken taken) {
  MOKV_CHECK_LE(taken.snapshot.last.index, applied_);
  MOKV_CHECK(taken.snapshot.membership != nullptr);
  if (snapshot_.has_value() && snapshot_->last.index >= taken.snapshot.last.index) return;
  snapshot_ = std::move(taken.snapshot);
}

void Core::On(LogCompacted compacted) {
  MOKV_CHECK(snapshot_.has_value());
  MOKV_CHECK_LE(compacted.through, snapshot_->last.index);
  MOKV_CHECK_LE(compacted.through, durability_.stable());
  log_.CompactThrough(compacted.through);
}

Index Core::CompactionLimit() const {
  Index limit = applied_;
  for (const auto& [peer, progress] : progress_) {
    const bool alive = now_ - progress.last_response < 10 * options_.election_timeout;
    // A peer that is being sent a snapshot will need the entries after it.
    const Index needed =
        progress.state() == Progress::State::kSnapshot ? progress.snapshot() : progress.match();
    if (alive && needed >= log_.base().index) limit = std::min(limit, needed);
  }
  return limit;
}

// The peer needs entries that the log has no more.
void Core::SendSnapshot(NodeId peer, Progress& progress) {
  if (!snapshot_.has_value() || snapshot_->last.index < log_.base().index) {
    output_.snapshot_wanted = true;
    progress.BecomeProbe();
    progress.OnSent(progress.next(), 0);  // Until its next heartbeat reply.
    return;
  }
  MOKV_CHECK_LE(snapshot_->last.index, commit_);
  ++stats_.snapshots_sent;
  progress.BecomeSnapshot(snapshot_->last.index);
  progress.sent_round = rounds_.last();
  Send(peer, InstallSnapshot{.snapshot = *snapshot_});
}

void Core::On(SnapshotFailed failed) {
  const auto peer = progress_.find(failed.peer);
  if (role_ != Role::kLeader || peer == progress_.end()) return;
  if (peer->second.state() != Progress::State::kSnapshot) return;
  VISITED(kSnapshotFailed);
  peer->second.OnSnapshotFailed();
}

// Figure 5.3, receiver.
void Core::On(const Message& message, const InstallSnapshot& install) {
  if (role_ == Role::kLeader) {
    ++stats_.malformed;
    return;
  }
  HearLeader(message.from);
  const SnapshotMeta& snapshot = install.snapshot;
  // What is committed here is never given back for an older state, nor its configuration.
  if (snapshot.last.index <= commit_) {
    VISITED(kSnapshotOld);
    return AcceptUpTo(message.from, commit_);
  }
  // Step 6: "if existing log entry has same index and term as snapshot's last included entry,
  // retain log entries following it and reply". Then the log itself has all of it.
  if (log_.Holds(snapshot.last)) {
    VISITED(kSnapshotHeld);
    CommitTo(snapshot.last.index);
    return AcceptUpTo(message.from, snapshot.last.index);
  }
  ++stats_.snapshots_installed;
  log_.ResetTo(snapshot);
  durability_.OnReset(snapshot.last.index);
  truncate_from_.reset();
  install_ = snapshot;
  snapshot_ = snapshot;
  commit_ = snapshot.last.index;
  applied_ = snapshot.last.index;
  MOKV_CHECK_EQ(log_.last().index, commit_);
  OnMembershipInEffect();
  AcceptUpTo(message.from, snapshot.last.index);
}

}  // namespace mokv::raft
