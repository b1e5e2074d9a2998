// Replay: from what a start finds in the log to a state machine that has applied all that is
// known to be committed, and the core's picture of the log. Entries behind that may still be
// replaced; they stay in memory until Raft has decided.
//
// Threads: confined to the replica thread. Owner: borrows the store.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "machine/machine.h"
#include "raft/core.h"
#include "raft/log_view.h"
#include "wal/log.h"

namespace mokv::replica {

class Replay {
 public:
  explicit Replay(machine::Machine& machine) : machine_(machine) {}

  // The log's callbacks of the same names. DATA_LOSS for an entry that this version does not know,
  // or a first one that is not a configuration.
  absl::Status OnEntry(const wal::EntryView& view);
  absl::Status OnCommitted(Index index);

  // When the log is open; what is known to be committed by then is applied and published. Once.
  absl::StatusOr<raft::InitialState> Finish(const HardState& hard_state, Index last_index);

 private:
  // Of the entries in memory; beyond the core's own bound nothing needs them.
  static constexpr uint64_t kCacheBytes = uint64_t{16} << 20;
  // What is overwritten on the way is given back with each publication.
  static constexpr uint64_t kPublishedAtOnce = 1024;
  static constexpr uint64_t kBytesAtOnce = uint64_t{16} << 20;

  machine::Machine& machine_;
  raft::LogView log_;
  Index applied_;
  uint64_t unpublished_ = 0;  // Entries.
};

}  // namespace mokv::replica
