// Reads entries back from the files of a log that is open.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "base/log_entry.h"
#include "wal/entry_index.h"

namespace mokv::wal {

// Appends to `entries` those of `extent` from `first` to `last`, as long as `payload_bytes_left`
// lasts, and lowers that. If `entries` is empty, the first one is always appended. DATA_LOSS,
// naming file and offset, for bytes that do not verify.
absl::Status ReadExtent(FileSystem& files, const std::string& directory, const Extent& extent,
                        Index first, Index last, uint64_t& payload_bytes_left,
                        std::vector<Entry>& entries);

// Where to read the entries from `first` on: what is in files, then what is not yet.
struct ReadPlan {
  Index first;
  uint64_t payload_bytes_max = 0;
  std::vector<Extent> extents;
  std::vector<Entry> unsynced;  // Follow on the extents.
};
// As ReadExtent, for all of them. Thread-safe.
absl::StatusOr<std::vector<Entry>> ReadPlanned(FileSystem& files, const std::string& directory,
                                               const ReadPlan& plan);

// Takes `payload_bytes` from what is left; false when there is not enough, and nothing is taken.
bool TakeBytes(uint64_t payload_bytes, bool is_first, uint64_t& payload_bytes_left);

}  // namespace mokv::wal
