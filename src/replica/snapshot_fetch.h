// SnapshotFetch: gets a snapshot from another node, because a leader no longer has the entries that
// this node needs.
//
//   told by a leader ──> asks for parts ──> all written and synced ──> verified and loaded ──> named
//                           ^      └ lost? asked for again       └ damaged? from the beginning
//                           └ a broken connection, or a restart: goes on where it was
//
// A snapshot that is on its way is finished, whoever leads by then and whatever newer one there is:
// any snapshot is of committed entries, and to begin again and again would never end.
//
// Threads: confined to the replica thread. What touches files runs on the background executor, and
//          loading on the snapshot executor.
// Owner:   the replica. Borrows executors and clock.
// Bounds:  kWindowBytes are asked for and not written yet.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/executor.h"
#include "replica/peers.h"
#include "replica/snapshot_file.h"
#include "replica/snapshot_keeper.h"
#include "snapshot/directory.h"

namespace mokv::replica {

class SnapshotFetch {
 public:
  struct Stats {
    uint64_t bytes = 0;        // Of the one that is on its way, so far.
    uint64_t bytes_total = 0;  // 0: none is on its way, or its size is not known yet.
    uint64_t failed = 0;       // Begun again, or given up: damaged, no space, not there any more.
    std::string last_error;
  };
  // It is on this node's disk, under its name, and loaded.
  using Fetched = absl::AnyInvocable<void(LoadedSnapshot loaded)>;

  SnapshotFetch(snapshot::Directory directory, Executor& background, Executor& loader,
                OnReplicaThread on_replica, Fetched fetched);
  ~SnapshotFetch();

  // A leader says that this node needs the snapshot.
  void OnTold(Peers& peers, raft::NodeId leader, const raft::SnapshotMeta& snapshot,
              MonotonicTime now);
  void OnChunk(Peers& peers, raft::NodeId from, SnapshotChunk chunk, MonotonicTime now);
  // Asks again for what has not come, and shows the other side that this one is still at it.
  void Tick(Peers& peers, MonotonicTime now);
  // Not needed any more: the log has all of it.
  void OnApplied(Index applied);

  bool busy() const { return job_ != nullptr; }
  const Stats& stats() const { return stats_; }

 private:
  struct Job;
  enum class Step { kOpening, kReading, kSyncing, kLoading };

  // Some messages are lost, so this is not long; and the first answer may need a connection.
  static constexpr Duration kAskAgainAfter = std::chrono::milliseconds(500);
  static constexpr uint64_t kWindowBytes = uint64_t{4} << 20;
  // Another source is taken when this one has given nothing for so long.
  static constexpr Duration kGiveUpAfter = std::chrono::seconds(5);

  // Background executor. `is_spoilt`: the file must not be gone on with.
  static absl::Status Write(Job& job, const SnapshotChunk& chunk, bool& is_spoilt);
  void Begin(raft::NodeId source, const raft::SnapshotMeta& snapshot, MonotonicTime now);
  void OnOpened(const std::shared_ptr<Job>& job, absl::StatusOr<uint64_t> bytes);
  void Ask(Peers& peers, MonotonicTime now);
  void OnWrote(Peers& peers, const std::shared_ptr<Job>& job, const absl::Status& status,
               bool is_spoilt, uint64_t bytes);
  void Finish();
  void Load(const std::shared_ptr<Job>& job);
  void Fail(const absl::Status& reason, bool remove);

  const std::shared_ptr<snapshot::Directory> directory_;
  Executor& background_;
  Executor& loader_;
  const OnReplicaThread on_replica_;
  Fetched fetched_;
  std::shared_ptr<Job> job_;
  Stats stats_;
  MonotonicTime now_;
};

}  // namespace mokv::replica
