// Reads a log back when it is opened: which of the files the log consists of, where the next batch
// goes, and whether what is damaged may be cut off (a last batch that nobody was told of) or means
// that data was lost. batch_replay.h reads what the batches say.
//
// Each file is read once, from its start, through a window of bounded size.
//
// Threads: everything runs on the caller's thread. Errors: as Log::Open. After an error the files
// are unchanged, or changed only so that the next try finds the same.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/term_runs.h"
#include "wal/entry_index.h"
#include "wal/format.h"
#include "wal/log.h"
#include "wal/segment_pool.h"

namespace mokv::wal {

// A segment that the log consists of.
struct LiveSegment {
  uint64_t generation = 0;
  Index first_index;  // The log went on from here when it was started.
  uint64_t size_bytes = 0;
};

struct ScannedLog {
  FoundLog found;
  TermRuns terms;
  EntryIndex index;
  std::vector<LiveSegment> segments;  // In order; the last is `tail`.
  // Segments before those; some cut of the head made them superfluous.
  std::vector<SegmentPool::UnusedFile> superfluous;
  // The segment to go on with; null in a new log.
  std::unique_ptr<File> tail;
  Position end;  // Of the log; all before it is durable.
  uint64_t tail_capacity_bytes = 0;
  SegmentPool::Contents pool;
};

absl::StatusOr<ScannedLog> ScanLog(FileSystem& files, const std::string& directory,
                                   Log::OnEntry& on_entry, Log::OnCommitted& on_committed);

// What ScanLog would find and tell, without changing anything: for a log that nobody has open. What
// ScanLog would cut off is counted, and stays.
absl::StatusOr<FoundLog> ReadLog(FileSystem& files, const std::string& directory,
                                 Log::OnEntry& on_entry, Log::OnCommitted& on_committed);

}  // namespace mokv::wal
