// AppendSide: the log as its caller sees it, durable or not: which entries there are, of which
// terms. It turns what is appended into items for the log thread, and plans reads.
//
// Threads: confined to the caller's.
// Bounds:  what is in the queue, and terms as TermRuns.
// Checks:  what it is given must be what a correct Raft gives: no gaps, terms that do not fall,
//          nothing committed taken back, tickets that grow as Log says.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/log_entry.h"
#include "base/term_runs.h"
#include "wal/log.h"
#include "wal/queued_write.h"
#include "wal/read.h"
#include "wal/space.h"
#include "wal/synced_log.h"
#include "wal/unsynced.h"
#include "wal/write_queue.h"

namespace mokv::wal {

class AppendSide {
 public:
  // Borrows all but the values, which are what a start has found.
  AppendSide(const Clock& clock, Space& space, WriteQueue& queue, const SyncedLog& synced,
             TermRuns terms, const HardState& hard_state)
      : clock_(clock),
        space_(space),
        queue_(queue),
        synced_(synced),
        terms_(std::move(terms)),
        commit_(hard_state.commit),
        term_(hard_state.term) {}

  // As those of Log.
  void Append(Ticket ticket, AppendRequest request);
  void CutHead(Ticket ticket, Index up_to);
  void ResetTo(Ticket ticket, Index last, Term last_term);

  Index first_index() const { return terms_.first_index(); }
  Index last_index() const { return terms_.last_index(); }
  std::optional<Term> TermAt(Index index) const { return terms_.TermAt(index); }

  // Where to read what Log::Read is asked for. OUT_OF_RANGE below first_index().
  absl::StatusOr<ReadPlan> PlanRead(Index first, uint64_t payload_bytes_max);

 private:
  void TakeOwn(Ticket ticket);
  void TakeOwnOrLast(Ticket ticket);
  void AppendPieces(AppendRequest request);
  uint64_t FillPiece(const std::vector<Entry>& entries, size_t& end);
  void Enqueue(QueuedWrite item, uint64_t record_bytes);
  Index PlanFiles(ReadPlan& plan, Index end) const;

  const Clock& clock_;
  Space& space_;
  WriteQueue& queue_;
  const SyncedLog& synced_;

  TermRuns terms_;
  Index commit_;
  Term term_;             // Of the last hard state.
  Ticket last_ticket_;    // Taken.
  Ticket before_ticket_;  // Taken before that of the last Append.
  UnsyncedEntries unsynced_;
};

}  // namespace mokv::wal
