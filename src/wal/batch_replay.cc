#include "wal/batch_replay.h"

#include <algorithm>

#include "base/check.h"
#include "base/status.h"

namespace mokv::wal {
namespace {

// Only a later version knows other groups. If their records were skipped, their entries would be
// lost as soon as a segment is used again.
absl::Status CheckGroup(const SegmentInfo& segment, const Batch& batch, uint32_t number,
                        const Record& record) {
  if (record.group == kGroup) return absl::OkStatus();
  if (segment.version < kGroupsSinceVersion) {
    return DataLoss(
        "{}: damaged at offset {}: record {} of the batch: malformed: its bytes 2 and 3 are not "
        "zero",
        segment.path, batch.offset, number);
  }
  return FailedPrecondition(
      "{}: record {} of the batch at offset {} is of Raft group {}; this mokv reads group {} only. "
      "Nothing was changed: start the version of mokv that wrote it, or a newer one",
      segment.path, number, batch.offset, record.group, kGroup);
}

}  // namespace

absl::Status CheckGroups(const SegmentInfo& segment, const Batch& batch) {
  uint32_t records = 0;
  Record record;
  for (RecordCursor cursor(batch.records); !cursor.done() && cursor.Next(record); ++records) {
    MOKV_RETURN_IF_ERROR(CheckGroup(segment, batch, records, record));
  }
  return absl::OkStatus();
}

void BatchReplay::Begin(EntryId previous, EntryId known_head, bool first_is_cut) {
  MOKV_CHECK(terms_.last() == EntryId());
  terms_ = TermRuns(previous);
  head_ = known_head;
  known_head_ = known_head.index;
  first_is_cut_ = first_is_cut;
}

absl::Status BatchReplay::CheckStart(const SegmentInfo& segment, EntryId previous) const {
  const EntryId last = terms_.last();
  const bool known = !head_term_unknown_ || last.index > terms_.base().index;
  if (previous.index == last.index && (!known || previous.term == last.term)) {
    return absl::OkStatus();
  }
  return DataLoss(
      "{}: starts after entry {} of term {}; the segments before end with {} of term {}",
      segment.path, previous.index, previous.term, last.index, last.term);
}

absl::Status BatchReplay::Add(const SegmentInfo& segment, const Batch& batch) {
  const auto wrong = [&](uint32_t record, std::string_view what) {
    return DataLoss("{}: damaged at offset {}: record {} of the batch: {}", segment.path,
                    batch.offset, record, what);
  };
  batch_first_ = Index(0);
  RecordCursor cursor(batch.records);
  uint32_t records = 0;
  while (!cursor.done()) {
    RecordCursor behind = cursor;
    Record record;
    if (!behind.Next(record)) return wrong(records, "malformed");
    MOKV_RETURN_IF_ERROR(CheckGroup(segment, batch, records, record));
    if (record.type == RecordType::kEntry) {
      absl::Status status = CheckEntry(record.id());
      if (!status.ok()) return wrong(records, MessageOf(status));
      MOKV_ASSIGN_OR_RETURN(const uint32_t run, AddRun(cursor, record.id()));
      records += run;
      continue;
    }
    const bool begins_segment = batch.offset == kSegmentHeaderBytes && records == 0;
    if ((record.type == RecordType::kStart) != begins_segment) {
      return wrong(records, "a segment's start is its first record and nothing else");
    }
    if (absl::Status status = AddRecord(record); !status.ok()) {
      return wrong(records, MessageOf(status));
    }
    cursor = behind;
    ++records;
  }
  if (records != batch.record_count) {
    return wrong(records, fmt::format("the batch should hold {} records", batch.record_count));
  }
  if (batch_first_ != Index(0)) {
    index_.Add(batch_first_, terms_.last_index(), {segment.generation, batch.offset},
               batch.end_offset);
  }
  return TellCommitted();
}

// Called only between batches: within a batch the commit index may already cover entries that will
// replace those that were told.
absl::Status BatchReplay::TellCommitted() {
  const Index committed = std::min(hard_state_.commit, terms_.last_index());
  if (on_committed_ == nullptr || committed <= committed_) return absl::OkStatus();
  committed_ = committed;
  return on_committed_(committed);
}

// Adds the entries at `cursor`, beginning with `first`, as long as they follow each other in one
// term. Returns how many. A restart spends its time here, hence a function of its own, small enough
// for the compiler to keep what it needs for each entry at hand.
[[gnu::noinline]] absl::StatusOr<uint32_t> BatchReplay::AddRun(RecordCursor& cursor,
                                                               EntryId first) {
  const uint64_t term = first.term.value();
  const uint64_t known_head = known_head_.value();
  uint64_t next = first.index.value();
  Log::OnEntry& on_entry = on_entry_;
  RecordCursor at = cursor;
  Record record;
  while (next != UINT64_MAX && at.NextEntry(next, term, record)) {
    ++next;
    if (record.first <= known_head) continue;
    absl::Status status = on_entry(
        {Index(record.first), Term(term), static_cast<EntryType>(record.subtype), record.body});
    if (!status.ok()) return status;
  }
  cursor = at;
  terms_.Append(first.index, Index(next - 1), first.term);
  return static_cast<uint32_t>(next - first.index.value());
}

// TermRuns and the writer CHECK the same; there a gap is our bug, here it is the disk's.
absl::Status BatchReplay::CheckEntry(EntryId id) {
  const EntryId last = terms_.last();
  if (id.index != last.index.next() || id.index == Index(0) || id.index == Index(UINT64_MAX)) {
    return DataLoss("entry {} follows entry {}", id.index, last.index);
  }
  if (id.term < last.term) {
    return DataLoss("entry {} of term {} follows one of term {}", id.index, id.term, last.term);
  }
  if (batch_first_ == Index(0)) batch_first_ = id.index;
  return absl::OkStatus();
}

absl::Status BatchReplay::AddRecord(const Record& record) {
  const bool mid_batch = batch_first_ != Index(0);
  switch (record.type) {
    case RecordType::kEntry:
      break;
    case RecordType::kStart: {
      const EntryId head = ToStart(record).head;
      if (head.index > terms_.last_index()) {
        return DataLoss("head cut up to {} of a log that ends with {}", head.index,
                        terms_.last_index());
      }
      if (head.index > head_.index) head_ = head;
      return absl::OkStatus();
    }
    case RecordType::kHardState:
      if (Term(record.first) < hard_state_.term) {
        return DataLoss("hard state of term {} follows one of term {}", record.first,
                        hard_state_.term);
      }
      hard_state_ = {.term = Term(record.first),
                     .vote = std::string(record.body),
                     .commit = Index(record.second)};
      return absl::OkStatus();
    case RecordType::kTruncation:
      if (mid_batch) return DataLoss("a truncation behind entries");
      return AddTruncation(Index(record.first));
    case RecordType::kHead:
      if (record.id().index > terms_.last_index()) {
        return DataLoss("head cut up to {} of a log that ends with {}", record.first,
                        terms_.last_index());
      }
      if (record.id().index > head_.index) head_ = record.id();
      return absl::OkStatus();
    case RecordType::kReset:
      if (mid_batch) return DataLoss("a reset behind entries");
      if (record.id().index == Index(UINT64_MAX)) return DataLoss("a reset to the last index");
      head_ = record.id();
      first_is_cut_ = false;
      head_term_unknown_ = false;
      terms_ = TermRuns(head_);
      index_.Clear();
      return absl::OkStatus();
  }
  return DataLoss("record of unknown type");
}

absl::Status BatchReplay::AddTruncation(Index from) {
  if (from == Index(0) || from > terms_.last_index().next()) {
    return DataLoss("truncation from {} of a log of {} to {}", from, terms_.first_index(),
                    terms_.last_index());
  }
  if (from > terms_.base().index) {
    terms_.TruncateFrom(from);
    index_.TruncateFrom(from);
    return absl::OkStatus();
  }
  // The entries that the truncation leaves were in segments before the first. Those may be gone
  // because all entries up to some later one have been cut off since: LogScan::CheckHead.
  if (!first_is_cut_ && from > known_head_.next()) {
    return DataLoss("truncation from {} of a log of {} to {}", from, terms_.first_index(),
                    terms_.last_index());
  }
  terms_ = TermRuns({from - 1, Term(0)});
  head_term_unknown_ = true;
  index_.Clear();
  return absl::OkStatus();
}

void BatchReplay::Finish() {
  if (head_.index >= terms_.base().index) terms_.CutThrough(head_);
  index_.CutHead(terms_.base().index);
}

}  // namespace mokv::wal
