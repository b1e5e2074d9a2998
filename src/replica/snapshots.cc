#include "replica/snapshots.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/logging.h"

namespace mokv::replica {

Snapshots::Snapshots(const Options& options, Executors executors, OnReplicaThread on_replica,
                     GiveCore give_core)
    : options_(options),
      give_core_(std::move(give_core)),
      keeper_(snapshot::Directory(*options.files, options.directory), executors.writer, on_replica,
              [this](const raft::SnapshotMeta& meta) { OnTaken(meta); }),
      source_(keeper_, executors.background, on_replica),
      fetch_(snapshot::Directory(*options.files, options.directory), executors.background,
             executors.loader, on_replica,
             [this](LoadedSnapshot loaded) { OnFetched(std::move(loaded)); }) {}

void Snapshots::OnFound(const std::vector<EntryId>& found, uint64_t bytes) {
  keeper_.OnFound(found);
  bytes_applied_ = bytes;
}

void Snapshots::OnApplied(const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) bytes_applied_ += raft::EntryBytes(entry);
  fetch_.OnApplied(entries.back().index);
}

void Snapshots::OnTurn(const raft::Core& core, bool wanted) {
  wanted_ = wanted_ || wanted;
  keeper_.OnStable(core.durability().stable());
  // What it brings is here already.
  if (ready_.has_value() && ready_->meta.last.index <= core.commit()) ready_.reset();
}

void Snapshots::OnSent(const std::vector<raft::Message>& messages, MonotonicTime now) {
  for (const raft::Message& message : messages) {
    const auto* install = std::get_if<raft::InstallSnapshot>(&message.body);
    if (install != nullptr) source_.OnTold(message.to, install->snapshot.last, now);
  }
}

void Snapshots::Tick(const raft::Core& core, machine::Machine* machine, wal::Log& log, Peers& peers,
                     MonotonicTime now) {
  keeper_.Tick(now);
  fetch_.Tick(peers, now);
  for (const raft::NodeId& silent : source_.Tick(peers, now)) {
    give_core_(raft::SnapshotFailed{silent});
  }
  if (machine == nullptr) return;
  MaybeTake(core, *machine, now);
  MaybeCut(core, *machine, log);
}

// --- taking

uint64_t Snapshots::BytesDue(const machine::Machine& machine) const {
  return std::max(options_.log_bytes, machine.stats().data_bytes / 2);
}

void Snapshots::MaybeTake(const raft::Core& core, machine::Machine& machine, MonotonicTime now) {
  const Index applied = core.applied();
  const bool due = bytes_applied_ - bytes_at_newest_ >= BytesDue(machine);
  if (!(due || wanted_) || !keeper_.MayTake(now)) return;
  if (keeper_.newest().has_value() && keeper_.newest()->index >= applied) return;
  // Nothing of a cluster is here yet.
  if (applied == Index() || core.log().MembershipAt(applied)->empty()) return;
  wanted_ = false;
  bytes_at_written_ = bytes_applied_;
  keeper_.Take({.last = {applied, core.log().TermAt(applied)},
                .membership = core.log().MembershipAt(applied)},
               machine.Freeze());
}

void Snapshots::OnTaken(const raft::SnapshotMeta& meta) {
  bytes_at_newest_ = std::max(bytes_at_newest_, bytes_at_written_);
  give_core_(raft::SnapshotTaken{meta});
}

// Peers hold the log up to a bound: beyond it they get a snapshot, and this node keeps its disk.
void Snapshots::MaybeCut(const raft::Core& core, const machine::Machine& machine, wal::Log& log) {
  const uint64_t old = keeper_.CutLimit().value();
  if (old <= options_.trailing_entries) return;
  const Index end(old - options_.trailing_entries);
  Index limit = end;
  if (const Index needed = core.CompactionLimit(); needed < end) {
    const wal::Stats stats = log.stats();
    const bool held_too_long =
        stats.segments > kHeldSegmentsMin && stats.segments_bytes > kHeldFactor * BytesDue(machine);
    if (held_too_long && log.first_index() <= end) ++outrun_;
    if (!held_too_long) limit = needed;
  }
  const uint64_t first = log.first_index().value();
  if (limit.value() < first) return;
  if (limit < end && limit.value() < first + kCutEntriesMin) return;
  ++cuts_;
  log.CutHead(wal::Ticket(), limit);
  give_core_(raft::LogCompacted{limit});
}

// --- peers

void Snapshots::OnRead(Peers& peers, raft::NodeId from, ConnectionId connection,
                       const SnapshotRead& read, MonotonicTime now) {
  source_.OnRead(peers, from, connection, read, now);
}

void Snapshots::OnChunk(Peers& peers, raft::NodeId from, SnapshotChunk chunk, MonotonicTime now) {
  fetch_.OnChunk(peers, from, std::move(chunk), now);
}

void Snapshots::OnInstallSnapshot(const raft::Message& message, const raft::Core& core,
                                  Peers& peers, MonotonicTime now) {
  // What the core does without the data it does at once: an earlier term, or nothing new.
  const raft::SnapshotMeta& snapshot = std::get<raft::InstallSnapshot>(message.body).snapshot;
  const bool is_needed = message.to == core.id() && message.term >= core.term() &&
                         snapshot.membership != nullptr && snapshot.last.index > core.commit() &&
                         !core.log().Holds(snapshot.last) &&
                         (core.role() != raft::Role::kLeader || message.term > core.term());
  if (!is_needed) return give_core_(raft::Receive{message});
  told_ = message;
  if (ready_.has_value()) return Install();
  fetch_.OnTold(peers, message.from, snapshot, now);
}

void Snapshots::OnFetched(LoadedSnapshot loaded) {
  keeper_.OnInstalled(loaded.meta.last, loaded.file_bytes);
  bytes_at_newest_ = bytes_applied_;
  ready_ = std::move(loaded);
  Install();
}

// Under the name of whoever leads now: any snapshot is of committed entries.
void Snapshots::Install() {
  raft::Message message = *told_;
  message.body = raft::InstallSnapshot{.snapshot = ready_->meta};
  give_core_(raft::Receive{std::move(message)});
}

machine::LoadedState Snapshots::TakeInstalled(raft::Position last) {
  MOKV_CHECK(ready_.has_value());
  MOKV_CHECK(ready_->meta.last == last);
  machine::LoadedState state = std::move(ready_->state);
  ready_.reset();
  ++installed_;
  LogInfo("a snapshot from another node is installed", {{"snapshot", snapshot::FileName(last)}});
  return state;
}

SnapshotReport Snapshots::report() const {
  const SnapshotKeeper::Stats& kept = keeper_.stats();
  const SnapshotFetch::Stats& fetched = fetch_.stats();
  return {.last = kept.last,
          .bytes = kept.bytes,
          .taken = kept.taken,
          .failed = kept.failed,
          .installed = installed_,
          .fetches_failed = fetched.failed,
          .fetched_bytes = fetched.bytes,
          .fetching_bytes = fetched.bytes_total,
          .sent_bytes = source_.bytes_sent(),
          .log_cuts = cuts_,
          .peers_outrun = outrun_,
          .last_error = kept.last_error.empty() ? fetched.last_error : kept.last_error};
}

}  // namespace mokv::replica
