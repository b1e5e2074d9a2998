// Salvage: the state in a node's directory, read without the node and without changing anything: for
// when the cluster is lost for good, and to see whether a start would find all that it needs.
//
// Threads: plain functions.
// Errors:  as of a start (open_log.h), naming file and offset: DATA_LOSS, FAILED_PRECONDITION for a
//          newer version. NOT_FOUND: there is no log.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/log_entry.h"
#include "machine/machine.h"
#include "raft/membership.h"

namespace mokv::replica {

// Where a node keeps its state. Nobody else may use it meanwhile.
struct StatePaths {
  std::string snapshots;  // May be missing.
  std::string log;
};

struct SalvagedState {
  std::unique_ptr<machine::Machine> machine;
  // All up to here is in the machine: the last entry of the log.
  EntryId last;
  // This node knew so much to be committed. What is behind it may have been acknowledged to clients
  // or not; and what others have acknowledged behind `last` is not here.
  Index committed;
  EntryId snapshot;  // With which it began; 0/0: none.
  // In effect at the end.
  std::shared_ptr<const raft::Membership> membership;
  // Of a last batch that was not written whole: they are not in the state.
  uint64_t cut_bytes = 0;
  // Snapshots that were not begun with, since they are damaged: what is wrong with each.
  std::vector<absl::Status> damaged;
};

// The newest snapshot that is whole, and all of the log behind it, committed or not.
absl::StatusOr<SalvagedState> Salvage(FileSystem& files, const StatePaths& paths);

// Paths of the snapshots in `directory`, the newest first; none if it is missing.
absl::StatusOr<std::vector<std::string>> ListSnapshots(FileSystem& files,
                                                       const std::string& directory);

}  // namespace mokv::replica
