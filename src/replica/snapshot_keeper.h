// SnapshotKeeper: the snapshots of this node: writes them, keeps the newest two, and says up to where
// the log may be cut.
//
//   Take ──> written in steps ──> whole and synced ──> log durable that far ──> named ──> kept
//
// A snapshot gets its name only when the log on this disk has all that is in it: so what a start
// finds fits together. The log is cut behind the older of the two: if the newer one turns out to be
// damaged, the older one and the log still make the whole state.
//
// Threads: confined to the replica thread. Files are written, named and removed on the snapshot
//          executor, one small step a task, so that whoever shares it is not held up.
// Owner:   the replica. Borrows executor and file system.
// Bounds:  one is written at a time; unsynced bytes are bounded by kSyncBytes.
// Errors:  a snapshot that cannot be written (no space, a disk that fails) is dropped, counted and
//          tried again after kRetryAfter; the log is kept meanwhile, so nothing is lost.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "replica/snapshot_file.h"
#include "snapshot/directory.h"

namespace mokv::replica {

// Runs a task on the replica thread, as part of its next turn. Thread-safe.
using OnReplicaThread = std::function<void(Task)>;

class SnapshotKeeper {
 public:
  struct Stats {
    uint64_t taken = 0;
    uint64_t failed = 0;
    Index last;              // The newest one's last entry; 0: there is none.
    uint64_t bytes = 0;      // Of the newest one's file.
    std::string last_error;  // Why the last attempt failed; empty after a good one.
  };
  using Taken = absl::AnyInvocable<void(const raft::SnapshotMeta& meta)>;

  // `taken` is told of each one that this node has taken, once it is kept.
  SnapshotKeeper(snapshot::Directory directory, Executor& executor, OnReplicaThread on_replica,
                 Taken taken);
  ~SnapshotKeeper();

  // What a start found, the newest first, that is worth keeping.
  void OnFound(const std::vector<EntryId>& found);
  // One that came from another node has its name already.
  void OnInstalled(EntryId last, uint64_t bytes);

  bool MayTake(MonotonicTime now) const { return writing_ == nullptr && now >= retry_at_; }
  // `state` is that of `meta`. Only if MayTake.
  void Take(raft::SnapshotMeta meta, machine::FrozenState state);
  // This node's log is durable up to `stable`: what waited for that is named.
  void OnStable(Index stable);
  // To be called now and then.
  void Tick(MonotonicTime now) { now_ = now; }

  // Up to here no start needs the log; 0: it needs all of it.
  Index CutLimit() const { return kept_.size() < kKept ? Index() : kept_[1].index; }
  bool Has(EntryId last) const;
  std::optional<EntryId> newest() const {
    if (kept_.empty()) return std::nullopt;
    return kept_.front();
  }
  // While it is in use (a peer reads it) the file stays, also when newer ones are there.
  void SetInUse(std::set<uint64_t> indexes);

  const Stats& stats() const { return stats_; }
  const snapshot::Directory& directory() const { return *directory_; }
  FileSystem& files() const { return directory_->files(); }

 private:
  struct Writing;

  static constexpr size_t kKept = 2;
  static constexpr Duration kRetryAfter = std::chrono::seconds(5);

  static void Step(std::shared_ptr<Writing> writing);
  void OnWritten(const std::shared_ptr<Writing>& writing, const absl::Status& status);
  void Publish();
  void OnPublished(const std::shared_ptr<Writing>& writing, const absl::Status& status);
  void Fail(const absl::Status& reason);
  void Keep(EntryId last);
  void RemoveOld();

  const std::shared_ptr<snapshot::Directory> directory_;
  Executor& executor_;
  const OnReplicaThread on_replica_;
  Taken taken_;

  std::shared_ptr<Writing> writing_;
  bool written_ = false;  // It is whole, and waits for the log.
  bool publishing_ = false;
  std::vector<EntryId> kept_;  // The newest first.
  std::vector<EntryId> old_;   // Not kept any more, but the file is still there.
  std::set<uint64_t> in_use_;  // By index.
  Index stable_;
  MonotonicTime now_;
  MonotonicTime retry_at_;
  Stats stats_;
};

}  // namespace mokv::replica
