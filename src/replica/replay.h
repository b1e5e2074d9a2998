// Replay: from what a start finds on disk to a state machine that has applied all that is known to be
// committed, and the core's picture of the log. The state begins with a snapshot, if there is one.
// Loading it and applying entries is another thread's work (Applying), where there is one, while the
// log is being read. Entries behind what is committed may still be replaced; they stay in memory
// until Raft has decided.
//
// Threads: confined to the replica thread. Owner: borrows the machine and the thread.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <optional>

#include "machine/machine.h"
#include "raft/core.h"
#include "raft/log_view.h"
#include "replica/applying.h"
#include "wal/log.h"

namespace mokv::replica {

struct SnapshotToLoad {
  raft::SnapshotMeta meta;
  Applying::Load load;
};

// What a start comes to.
struct RecoveredState {
  raft::InitialState initial;
  // The log ends before the snapshot, or differs from it: it is to begin behind it.
  bool reset_log = false;
  // Of the entries that the snapshot does not have.
  uint64_t bytes_since_snapshot = 0;
};

class Replay {
 public:
  // `thread` must run by itself; null: all is done by the caller.
  Replay(machine::Machine& machine, std::optional<SnapshotToLoad> snapshot, Executor* thread);

  // The log's callbacks of the same names. DATA_LOSS for an entry that this version does not know,
  // or a first one that is not a configuration, or that does not follow on the snapshot.
  absl::Status OnEntry(const wal::EntryView& view);
  absl::Status OnCommitted(Index index);
  // All has been read; what is known to be committed by then is applied and published.
  absl::Status OnFound(const wal::FoundLog& found);

  // Why the snapshot could not be loaded, if that is why one of the above has failed.
  absl::Status snapshot_status() const { return applying_.load_status(); }
  // After OnFound. Once.
  RecoveredState Take() { return std::move(recovered_); }

 private:
  // Of the entries in memory; beyond the core's own bound nothing needs them.
  static constexpr uint64_t kCacheBytes = uint64_t{16} << 20;
  static constexpr uint64_t kBytesAtOnce = uint64_t{16} << 20;

  absl::Status ApplyThrough(Index index);
  bool LogFits(const wal::FoundLog& found) const;

  const raft::SnapshotMeta base_;  // 0/0: there is no snapshot.
  Applying applying_;
  raft::LogView log_;                 // Begins after base_: earlier entries are in the snapshot.
  std::optional<Term> term_at_base_;  // As the log has it.
  Index applied_;                     // Or given to be.
  RecoveredState recovered_;
};

}  // namespace mokv::replica
