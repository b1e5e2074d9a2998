// Snapshots: all that a replica does about snapshots: when one is taken, when the log is cut, what
// peers are given, and what comes from them. The parts do the work: SnapshotKeeper, SnapshotSource,
// SnapshotFetch.
//
// The disk is bounded: by the newest two snapshots and one that is being written; and by the log,
// which is cut behind the older one, less a window. It reaches back further, up to kHeldFactor times
// what is due, or kHeldSegmentsMin, only for peers that still need it.
//
// Threads: confined to the replica thread, except directory().
// Owner:   the replica. Borrows machine and executors.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "machine/machine.h"
#include "raft/core.h"
#include "replica/peers.h"
#include "replica/report.h"
#include "replica/snapshot_fetch.h"
#include "replica/snapshot_keeper.h"
#include "replica/snapshot_source.h"
#include "wal/log.h"

namespace mokv::replica {

class Snapshots {
 public:
  struct Options {
    FileSystem* files = nullptr;
    std::string directory;
    // A snapshot is due when the log has grown by this, and by half of what the state holds: so that
    // no more than two bytes of snapshots are written for one of the log.
    uint64_t log_bytes = uint64_t{256} << 20;
    // Kept behind the older snapshot, so that a follower that was away for a moment reads entries.
    uint64_t trailing_entries = 10'000;
  };
  struct Executors {
    Executor& background;  // Parts of files, for peers and from them.
    Executor& loader;      // Loads snapshots, which takes long.
    Executor& writer;      // Writes them: nobody waits for it.
  };
  // For the core, in the turn in which it is called.
  using GiveCore = std::function<void(raft::Event)>;

  Snapshots(const Options& options, Executors executors, OnReplicaThread on_replica,
            GiveCore give_core);

  const snapshot::Directory& directory() const { return keeper_.directory(); }
  // What a start has found, the newest first; the state begins with that one. `bytes` of log came
  // after it.
  void OnFound(const std::vector<EntryId>& found, uint64_t bytes);

  void OnApplied(const std::vector<Entry>& entries);
  // After each turn: the core has said that it needs one, and how far the log is durable.
  void OnTurn(const raft::Core& core, bool wanted);
  // Messages that are about to leave.
  void OnSent(const std::vector<raft::Message>& messages, MonotonicTime now);
  // `machine`: null while its state is not that of core.applied(); then nothing is taken or cut.
  void Tick(const raft::Core& core, machine::Machine* machine, wal::Log& log, Peers& peers,
            MonotonicTime now);

  // A leader says that this node needs a snapshot. The core hears of it when it is here.
  void OnInstallSnapshot(const raft::Message& message, const raft::Core& core, Peers& peers,
                         MonotonicTime now);
  void OnRead(Peers& peers, raft::NodeId from, ConnectionId connection, const SnapshotRead& read,
              MonotonicTime now);
  void OnChunk(Peers& peers, raft::NodeId from, SnapshotChunk chunk, MonotonicTime now);
  // The core has accepted the one that it was given: its state.
  machine::LoadedState TakeInstalled(raft::Position last);

  SnapshotReport report() const;

 private:
  static constexpr uint64_t kHeldFactor = 4;
  // So many segments are kept for them in any case: where little log makes a snapshot due, each one
  // would be too much, and any pause would cost a peer a snapshot.
  static constexpr uint64_t kHeldSegmentsMin = 4;
  // A cut is a write to the log: not for less than this, unless it reaches its end.
  static constexpr uint64_t kCutEntriesMin = 1024;

  void OnTaken(const raft::SnapshotMeta& meta);
  void OnFetched(LoadedSnapshot loaded);
  void Install();
  uint64_t BytesDue(const machine::Machine& machine) const;
  void MaybeTake(const raft::Core& core, machine::Machine& machine, MonotonicTime now);
  void MaybeCut(const raft::Core& core, const machine::Machine& machine, wal::Log& log);

  const Options options_;
  const GiveCore give_core_;
  SnapshotKeeper keeper_;
  SnapshotSource source_;
  SnapshotFetch fetch_;

  bool wanted_ = false;
  uint64_t bytes_applied_ = 0;     // Of entries.
  uint64_t bytes_at_newest_ = 0;   // As many of them had been applied when that was taken.
  uint64_t bytes_at_written_ = 0;  // The same for the one that is being written.
  // Fetched and loaded, for the core; and what a leader said last.
  std::optional<LoadedSnapshot> ready_;
  std::optional<raft::Message> told_;
  uint64_t installed_ = 0;
  uint64_t cuts_ = 0;
  uint64_t outrun_ = 0;
};

}  // namespace mokv::replica
