// Log: the segmented write-ahead log that keeps Raft's entries and hard state.
//
// Append queues and returns; the log's own executor (the log thread) writes all that has queued as
// one batch, calls fdatasync once, and reports how far the log is durable now (group commit).
//
// Threads:  Append, TruncateFrom, first_index and last_index are confined to one caller (the
// replica
//           thread); CanAppend and stats are thread-safe. Callbacks are called on the log thread,
//           or in Close. The executor must outlive the log and run none of its tasks after Close.
// Failure:  after a failed write or fdatasync nothing more is written and `on_failure` is called
//           once; the node must stop. An fdatasync is never tried again (see ATC'20, "Can
//           applications recover from fsync failures?"). No space counts as a failed write.
// Format:   docs/log-format.md.
// Bounds:   CanAppend says when Options::queue_bytes_max bytes are given and not yet durable; the
//           caller refuses work then. One Append is one batch's, whole or not at all, so it must
//           stay below 512 MiB. Entries are not kept once they are durable.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/file.h"
#include "base/log_entry.h"

namespace mokv::wal {

struct Options {
  std::string directory;
  uint64_t segment_bytes = uint64_t{64} << 20;
  uint64_t queue_bytes_max = uint64_t{64} << 20;
};

// What a start found.
struct Recovery {
  HardState hard_state;
  Index first_index;  // 1 until the head is cut.
  Index last_index;   // first_index - 1 when there are no entries.
  Term last_term;
  uint64_t segments = 0;
  // Bytes of a torn or reordered last batch that were cut off; 0 after a clean stop.
  uint64_t cut_bytes = 0;
};

// Thread-safe counters, written by the log thread.
struct Stats {
  uint64_t batches = 0;
  uint64_t entries = 0;
  uint64_t bytes = 0;
  uint64_t segments = 0;
  uint64_t cut_bytes = 0;
};

class Log {
 public:
  struct Callbacks {
    // Every entry up to `last` (with this term) and the hard state given before it is on disk.
    // Called once a batch. A truncation may have been asked for since: the term tells whether
    // `last` is still the entry that the caller means.
    absl::AnyInvocable<void(Index last, Term term)> on_durable;
    absl::AnyInvocable<void(absl::Status)> on_failure;
    // Time that one fdatasync took; may be null.
    absl::AnyInvocable<void(Duration)> on_sync;
  };

  // Opens or creates the log in `options.directory` and recovers it; all that it reports is
  // durable. `on_entry` is called for every entry in order (none that was truncated), on the
  // calling thread; its error ends the recovery. DATA_LOSS, naming file and offset, for damage
  // below the durable mark; FAILED_PRECONDITION for a format version that is newer than ours, or
  // when another process has the log open.
  static absl::StatusOr<std::unique_ptr<Log>> Open(
      FileSystem& files, const Clock& clock, Executor& log_thread, Options options,
      Callbacks callbacks, absl::AnyInvocable<absl::Status(Entry)> on_entry);

  virtual ~Log() = default;

  virtual const Recovery& recovery() const = 0;

  // Entries must follow on each other and on last_index(). `hard_state` is written with them. Does
  // nothing after a failure.
  virtual void Append(absl::Span<const Entry> entries, std::optional<HardState> hard_state) = 0;
  // Whether the queue has room; false means that the caller should refuse new work for now (for
  // good after a failure).
  virtual bool CanAppend() const = 0;
  // Entries from `index` on are dropped (a conflict with a leader's log); takes effect on disk with
  // the next append.
  virtual void TruncateFrom(Index index) = 0;

  virtual Index first_index() const = 0;
  virtual Index last_index() const = 0;

  // Writes and syncs what is still queued, then closes, on the calling thread. Called once, after
  // the log thread has stopped. Without it what is queued is lost, as in a crash.
  virtual void Close() = 0;

  virtual Stats stats() const = 0;
};

}  // namespace mokv::wal
