// BatchReplay: what the batches of a log come to, taken one after the other as they were written:
// which entries are there, of which terms, and where; the hard state; and how far the head has been
// cut. It tells of entries as it meets them. Of files it knows no more than their names.
//
// Threads: confined to one.
// Errors:  DATA_LOSS, naming file, offset and record, for a batch that verifies and yet contradicts
//          those before it; FAILED_PRECONDITION for a record of a group that this version does not
//          know; and those of the callbacks.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <string>

#include "base/log_entry.h"
#include "base/term_runs.h"
#include "wal/entry_index.h"
#include "wal/format.h"
#include "wal/log.h"

namespace mokv::wal {

// The segment that a batch is in.
struct SegmentInfo {
  std::string path;
  uint64_t generation = 0;
  uint32_t version = 0;  // Of the format.
};

// No record of the batch is of another group.
absl::Status CheckGroups(const SegmentInfo& segment, const Batch& batch);

class BatchReplay {
 public:
  // Borrows both; `on_committed` may be null.
  BatchReplay(Log::OnEntry& on_entry, Log::OnCommitted& on_committed)
      : on_entry_(on_entry), on_committed_(on_committed) {}

  // Once, before anything else. The first segment goes on after entry `previous`. Entries up to
  // `known_head` had been cut off when the last segment was started: nobody is told of them.
  // `first_is_cut`: the first segment follows one that cannot be used, so that the log is whole
  // only if all entries before it turn out to have been cut off.
  void Begin(EntryId previous, EntryId known_head, bool first_is_cut);
  // The next segment says that it goes on after `previous`.
  absl::Status CheckStart(const SegmentInfo& segment, EntryId previous) const;
  absl::Status Add(const SegmentInfo& segment, const Batch& batch);
  // After the last one: forgets what was cut off at the head.
  void Finish();

  const HardState& hard_state() const { return hard_state_; }
  // The last entry that has been cut off, as far as a record says so.
  EntryId head() const { return head_; }
  const TermRuns& terms() const { return terms_; }
  // To be taken after Finish.
  EntryIndex& index() { return index_; }

 private:
  absl::Status TellCommitted();
  absl::Status AddRecord(const Record& record);
  absl::StatusOr<uint32_t> AddRun(RecordCursor& cursor, EntryId first);
  absl::Status CheckEntry(EntryId id);
  absl::Status AddTruncation(Index from);

  Log::OnEntry& on_entry_;
  Log::OnCommitted& on_committed_;
  Index committed_;  // As last told.

  HardState hard_state_;
  TermRuns terms_;
  EntryIndex index_;
  EntryId head_;
  Index known_head_;
  bool first_is_cut_ = false;
  bool head_term_unknown_ = false;  // Of the entry before the first.
  Index batch_first_;               // First entry of the batch that is being added; 0: none yet.
};

}  // namespace mokv::wal
