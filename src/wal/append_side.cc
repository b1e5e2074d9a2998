#include "wal/append_side.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "wal/format.h"

namespace mokv::wal {

void AppendSide::TakeOwn(Ticket ticket) {
  MOKV_CHECK_GT(ticket, last_ticket_);
  before_ticket_ = std::exchange(last_ticket_, ticket);
}

void AppendSide::TakeOwnOrLast(Ticket ticket) {
  if (ticket == Ticket(0)) return;
  MOKV_CHECK_GE(ticket, last_ticket_);
  last_ticket_ = ticket;
}

void AppendSide::Append(Ticket ticket, AppendRequest request) {
  TakeOwn(ticket);
  if (request.truncate_from == terms_.last_index().next()) request.truncate_from.reset();
  if (request.truncate_from.has_value()) {
    // A committed entry is never taken back.
    MOKV_CHECK_GT(*request.truncate_from, commit_);
    terms_.TruncateFrom(*request.truncate_from);
    unsynced_.TruncateFrom(*request.truncate_from);
  }
  if (request.hard_state.has_value()) {
    MOKV_CHECK_GE(request.hard_state->term, term_);
    MOKV_CHECK_LE(request.hard_state->vote.size(), kVoteBytesMax);
    term_ = request.hard_state->term;
    commit_ = std::max(commit_, request.hard_state->commit);
  }
  unsynced_.Trim(synced_.durable());
  AppendPieces(std::move(request));
}

// Makes one item of the request, or several if it is large. The hard state goes with the first one,
// too: entries of a term must not be there without it.
void AppendSide::AppendPieces(AppendRequest request) {
  const auto entries = std::make_shared<const std::vector<Entry>>(std::move(request.entries));
  bool first = true;
  for (size_t next = 0; first || next < entries->size(); first = false) {
    QueuedWrite item;
    item.block = {entries, next, next};
    uint64_t bytes = FillPiece(*entries, item.block.end);
    next = item.block.end;
    const bool last = next == entries->size();
    if (first) item.truncate_from = request.truncate_from;
    if (first || last) item.hard_state = request.hard_state;
    if (!last && item.hard_state.has_value()) {
      item.hard_state->commit = std::min(item.hard_state->commit, terms_.last_index());
    }
    item.ticket = last ? last_ticket_ : before_ticket_;
    unsynced_.Add(last_ticket_, item.block);
    if (item.truncate_from.has_value()) bytes += RecordBytes(0);
    if (item.hard_state.has_value()) bytes += RecordBytes(item.hard_state->vote.size());
    Enqueue(std::move(item), bytes);
  }
}

// Moves `end` past as many entries as belong into one item. Returns their bytes in the log.
uint64_t AppendSide::FillPiece(const std::vector<Entry>& entries, size_t& end) {
  const uint64_t bytes_max = space_.piece_bytes_max();
  uint64_t bytes = 0;
  size_t run = end;  // Where the run of the term begins that is not in terms_ yet.
  const auto add_run = [&] {
    if (run == end) return;
    terms_.Append(entries[run].index, entries[end - 1].index, entries[run].term);
    run = end;
  };
  for (; end < entries.size(); ++end) {
    const Entry& entry = entries[end];
    const uint64_t more = RecordBytes(entry.bytes().size());
    if (bytes > 0 && bytes + more > bytes_max) break;
    if (entry.term != entries[run].term) add_run();
    MOKV_CHECK_EQ(entry.index, entries[run].index + (end - run));
    bytes += more;
  }
  add_run();
  return bytes;
}

void AppendSide::CutHead(Ticket ticket, Index up_to) {
  TakeOwnOrLast(ticket);
  MOKV_CHECK_LE(up_to, terms_.last_index());
  QueuedWrite item;
  item.ticket = last_ticket_;
  if (up_to >= terms_.first_index()) {
    item.head = EntryId{up_to, *terms_.TermAt(up_to)};
    terms_.CutThrough(*item.head);
  }
  const uint64_t bytes = item.head.has_value() ? RecordBytes(0) : 0;
  Enqueue(std::move(item), bytes);
}

void AppendSide::ResetTo(Ticket ticket, Index last, Term last_term) {
  TakeOwnOrLast(ticket);
  MOKV_CHECK_LT(last, Index(UINT64_MAX));
  terms_ = TermRuns({last, last_term});
  unsynced_.Clear();
  QueuedWrite item;
  item.ticket = last_ticket_;
  item.reset = EntryId{last, last_term};
  Enqueue(std::move(item), RecordBytes(0));
}

void AppendSide::Enqueue(QueuedWrite item, uint64_t record_bytes) {
  item.last = terms_.last();
  item.since = clock_.Now();
  item.bytes_max = kBatchHeaderBytes + record_bytes;
  if (queue_.failed()) return;
  // Counted before the log thread can get the item, which takes it off again.
  space_.OnQueued(item.bytes_max);
  queue_.Push(std::move(item));
}

absl::StatusOr<ReadPlan> AppendSide::PlanRead(Index first, uint64_t payload_bytes_max) {
  if (first < terms_.first_index()) {
    return absl::OutOfRangeError(fmt::format("entry {} has been cut off; the log begins with {}",
                                             first, terms_.first_index()));
  }
  unsynced_.Trim(synced_.durable());
  const Index end = terms_.last_index().next();
  const Index files_end = std::min(unsynced_.first_index().value_or(end), end);
  ReadPlan plan{.first = first, .payload_bytes_max = payload_bytes_max};
  Index next = PlanFiles(plan, files_end);
  uint64_t left = payload_bytes_max;
  for (; next >= files_end && next < end; ++next) {
    const Entry& entry = unsynced_.At(next);
    if (!TakeBytes(entry.bytes().size(), plan.unsynced.empty(), left)) break;
    plan.unsynced.push_back(entry);
  }
  return plan;
}

// Plans what to read from files, which hold all entries below `end`. Returns the first entry
// that is not in the plan.
Index AppendSide::PlanFiles(ReadPlan& plan, Index end) const {
  uint64_t bytes = 0;
  Index next = plan.first;
  while (next < end && bytes <= plan.payload_bytes_max) {
    std::optional<Extent> extent = synced_.Find(next);
    MOKV_CHECK(extent.has_value());
    extent->last = std::min(extent->last, end - 1);
    // The first one may hold little from `first` on.
    if (!plan.extents.empty()) bytes += extent->end_offset - extent->start.offset;
    next = extent->last.next();
    plan.extents.push_back(*extent);
  }
  return next;
}

}  // namespace mokv::wal
