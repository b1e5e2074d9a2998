// Reads a log back when it is opened: what survives, where the next batch goes, and whether what is
// damaged may be cut off (a last batch that nobody was told of) or means that data was lost.
//
// Threads: everything runs on the caller's thread. Errors: as Log::Open. After an error the files
// are unchanged, or changed only so that the next try finds the same.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>

#include <memory>
#include <string>

#include "base/file.h"
#include "wal/format.h"
#include "wal/log.h"
#include "wal/term_runs.h"

namespace mokv::wal {

struct RecoveredLog {
  Recovery recovery;
  TermRuns terms;
  uint64_t next_generation = 1;  // Above every one that was ever seen.
  // The segment to go on with; null in a new log.
  std::unique_ptr<File> tail;
  Position end;                      // Of the log; all before it is durable.
  uint64_t tail_capacity_bytes = 0;  // Verified to be zero from `end` to here.
};

// `on_entry` gets the entries that no later truncation dropped.
absl::StatusOr<RecoveredLog> RecoverLog(FileSystem& files, const std::string& directory,
                                        absl::AnyInvocable<absl::Status(Entry)>& on_entry);

}  // namespace mokv::wal
