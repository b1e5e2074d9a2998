#include "wal/recovery.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"
#include "wal/scanner.h"

namespace mokv::wal {
namespace {

bool AllZero(std::string_view bytes) {
  return bytes.find_first_not_of('\0') == std::string_view::npos;
}

// A file with a segment's name.
struct SegmentFile {
  std::string path;
  uint64_t generation = 0;
  absl::Status header;                // Whether it verifies.
  uint32_t version = 0;               // Of the format, if it does.
  std::optional<SegmentStart> start;  // Of a segment that has been written to.
  bool untouched = false;             // Prepared, and certainly never written to.
};

class Recoverer {
 public:
  Recoverer(FileSystem& files, const std::string& directory, Log::OnEntry& on_entry,
            Log::OnCommitted& on_committed)
      : files_(files), directory_(directory), on_entry_(on_entry), on_committed_(on_committed) {}

  absl::StatusOr<RecoveredLog> Run() {
    MOKV_RETURN_IF_ERROR(FindSegments());
    MOKV_RETURN_IF_ERROR(ChooseChain());
    MOKV_RETURN_IF_ERROR(CheckBehindTail());
    for (size_t i = 0; i < chain_.size(); ++i) MOKV_RETURN_IF_ERROR(Scan(i));
    MOKV_RETURN_IF_ERROR(CheckHead());
    MOKV_RETURN_IF_ERROR(FinishTail());
    // Names that a killed process left behind must last too: those of the log, and those of files
    // that are about to get other contents.
    MOKV_RETURN_IF_ERROR(files_.SyncDirectory(directory_));
    MOKV_RETURN_IF_ERROR(SortTheRest());
    FillSummary();
    return std::move(result_);
  }

 private:
  absl::Status FindSegments();
  absl::Status LookAt(SegmentFile& segment);
  static absl::Status CheckGroups(const SegmentFile& segment, const Batch& batch);
  static absl::Status CheckGroup(const SegmentFile& segment, const Batch& batch, uint32_t number,
                                 const Record& record);
  absl::Status ChooseChain();
  absl::Status Scan(size_t i);
  absl::Status CheckStart(const SegmentFile& segment) const;
  absl::Status Replay(const SegmentFile& segment, const Batch& batch);
  absl::Status TellCommitted();
  absl::Status ReplayRecord(const Record& record);
  absl::StatusOr<uint32_t> ReplayRun(RecordCursor& cursor, EntryId first);
  absl::Status CheckEntry(EntryId id);
  absl::Status ReplayTruncation(Index from);
  absl::Status CheckHead() const;
  absl::Status CheckTail(const SegmentFile& segment);
  absl::Status CheckBehindTail();
  void Cut(const std::string& path, uint64_t offset, uint64_t bytes);
  absl::Status FinishTail();
  absl::Status SortTheRest();
  void FillSummary();

  FileSystem& files_;
  const std::string& directory_;
  Log::OnEntry& on_entry_;
  Log::OnCommitted& on_committed_;
  Index committed_;  // As last told.

  std::map<uint64_t, SegmentFile> found_;  // By generation.
  std::vector<SegmentFile*> chain_;        // Those that the log consists of, in order.
  // Known to be cut off when the last segment was started: need not be told to
  // anyone.
  Index known_head_;
  // The first segment of the chain goes on from one that cannot be used. Unless all entries before
  // it were cut off, the log is not whole.
  bool first_is_cut_ = false;
  // The term of the entry before the first is not known.
  bool head_term_unknown_ = false;
  SegmentScanner scanner_;
  std::unique_ptr<File> scanned_file_;
  std::string cut_text_;  // What was cut off last, for messages.
  RecoveredLog result_;
  EntryId head_;
  Index batch_first_;  // First entry of the batch that is being replayed; 0: none yet.
  // What of the tail may never have reached the disk: all from here on.
  uint64_t tail_unsure_from_ = 0;
  // What must become zero behind the end of the tail.
  uint64_t tail_dirty_bytes_ = 0;
};

absl::Status Recoverer::FindSegments() {
  MOKV_ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.List(directory_));
  uint64_t& next_generation = result_.pool.next_generation;
  for (const std::string& name : names) {
    const std::optional<uint64_t> spare = ParseSpareName(name);
    if (spare.has_value() && *spare != UINT64_MAX) {
      result_.pool.spares.push_back(*spare);
      next_generation = std::max(next_generation, *spare + 1);
    }
    const std::optional<uint64_t> generation = ParseSegmentName(name);
    if (!generation.has_value()) continue;
    // None would be left for what comes; we never made this file.
    if (*generation == UINT64_MAX) return DataLoss("{}: {} is no segment", directory_, name);
    next_generation = std::max(next_generation, *generation + 1);
    SegmentFile& segment = found_[*generation];
    segment.path = fmt::format("{}/{}", directory_, name);
    segment.generation = *generation;
    MOKV_RETURN_IF_ERROR(LookAt(segment));
  }
  return absl::OkStatus();
}

absl::Status Recoverer::LookAt(SegmentFile& segment) {
  MOKV_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                        files_.Open(segment.path, FileSystem::OpenMode::kRead));
  MOKV_ASSIGN_OR_RETURN(const std::string bytes, file->ReadAt(0, kSegmentStartBytesMax));
  const absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(bytes, segment.path);
  if (absl::IsFailedPrecondition(header.status())) return header.status();
  segment.header = header.status();
  if (header.ok()) {
    if (header->generation != segment.generation) {
      return DataLoss("{}: its header says generation {:016x}", segment.path, header->generation);
    }
    segment.version = header->version;
  }
  if (bytes.size() <= kSegmentHeaderBytes) return absl::OkStatus();
  const std::string_view first = std::string_view(bytes).substr(kSegmentHeaderBytes);
  const std::optional<Batch> batch = DecodeBatch(first, {segment.generation, kSegmentHeaderBytes});
  if (batch.has_value()) {
    // Before anything that a start of another group says is believed.
    if (segment.header.ok()) MOKV_RETURN_IF_ERROR(CheckGroups(segment, *batch));
    segment.start = StartOf(*batch);
  }
  segment.untouched =
      segment.header.ok() && AllZero(first.substr(0, kBatchHeaderBytes)) && !batch.has_value();
  return absl::OkStatus();
}

absl::Status Recoverer::CheckGroups(const SegmentFile& segment, const Batch& batch) {
  uint32_t records = 0;
  Record record;
  for (RecordCursor cursor(batch.records); !cursor.done() && cursor.Next(record); ++records) {
    MOKV_RETURN_IF_ERROR(CheckGroup(segment, batch, records, record));
  }
  return absl::OkStatus();
}

// Of other groups only a later version knows; skipped, their entries would be lost with the first
// segment that is used again.
absl::Status Recoverer::CheckGroup(const SegmentFile& segment, const Batch& batch, uint32_t number,
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

// The newest segment with a start is the tail; from it back as far as its entries are needed.
absl::Status Recoverer::ChooseChain() {
  for (auto& [generation, segment] : found_) {
    if (segment.start.has_value()) chain_ = {&segment};
  }
  if (chain_.empty()) return absl::OkStatus();
  head_ = chain_.front()->start->head;
  known_head_ = head_.index;
  while (chain_.front()->start->previous.index > known_head_) {
    const uint64_t previous = chain_.front()->start->previous_end.generation;
    const auto found = found_.find(previous);
    // Cuts of the head that the tail tells of later may have made it unnecessary: see CheckHead.
    first_is_cut_ = found == found_.end() || !found->second.start.has_value() ||
                    previous >= chain_.front()->generation;
    if (first_is_cut_) break;
    chain_.insert(chain_.begin(), &found->second);
  }
  for (const SegmentFile* segment : chain_) MOKV_RETURN_IF_ERROR(segment->header);
  result_.terms = TermRuns(chain_.front()->start->previous);
  return absl::OkStatus();
}

absl::Status Recoverer::Scan(size_t i) {
  const SegmentFile& segment = *chain_[i];
  const SegmentFile* next = i + 1 < chain_.size() ? chain_[i + 1] : nullptr;
  const uint64_t known_end = next == nullptr ? UINT64_MAX : next->start->previous_end.offset;
  MOKV_RETURN_IF_ERROR(CheckStart(segment));
  MOKV_ASSIGN_OR_RETURN(scanned_file_, files_.Open(segment.path, FileSystem::OpenMode::kRead));
  MOKV_RETURN_IF_ERROR(
      scanner_.Open(*scanned_file_, {segment.generation, kSegmentHeaderBytes}, known_end));
  result_.segments.push_back({segment.generation, segment.start->previous.index.next()});
  while (scanner_.offset() < known_end) {
    MOKV_ASSIGN_OR_RETURN(const std::optional<Batch> batch, scanner_.Next());
    if (!batch.has_value()) break;
    MOKV_RETURN_IF_ERROR(Replay(segment, *batch));
    tail_unsure_from_ = batch->durable.generation == segment.generation ? batch->durable.offset
                                                                        : kSegmentHeaderBytes;
  }
  result_.end = {segment.generation, scanner_.offset()};
  if (next == nullptr) return CheckTail(segment);
  if (scanner_.offset() == known_end) return absl::OkStatus();
  // The next segment was started only after this one was durable up to its end.
  return DataLoss("{}: damaged at offset {}: {} says that the log was durable up to offset {}",
                  segment.path, scanner_.offset(), next->path, known_end);
}

absl::Status Recoverer::CheckStart(const SegmentFile& segment) const {
  const EntryId previous = segment.start->previous;
  const EntryId last = result_.terms.last();
  const bool known = !head_term_unknown_ || last.index > result_.terms.base().index;
  if (previous.index == last.index && (!known || previous.term == last.term)) {
    return absl::OkStatus();
  }
  return DataLoss(
      "{}: starts after entry {} of term {}; the segments before end with {} of term {}",
      segment.path, previous.index, previous.term, last.index, last.term);
}

absl::Status Recoverer::Replay(const SegmentFile& segment, const Batch& batch) {
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
      MOKV_ASSIGN_OR_RETURN(const uint32_t run, ReplayRun(cursor, record.id()));
      records += run;
      continue;
    }
    const bool begins_segment = batch.offset == kSegmentHeaderBytes && records == 0;
    if ((record.type == RecordType::kStart) != begins_segment) {
      return wrong(records, "a segment's start is its first record and nothing else");
    }
    if (absl::Status status = ReplayRecord(record); !status.ok()) {
      return wrong(records, MessageOf(status));
    }
    cursor = behind;
    ++records;
  }
  if (records != batch.record_count) {
    return wrong(records, fmt::format("the batch should hold {} records", batch.record_count));
  }
  if (batch_first_ != Index(0)) {
    result_.index.Add(batch_first_, result_.terms.last_index(), {segment.generation, batch.offset},
                      batch.end_offset);
  }
  return TellCommitted();
}

// Only between batches: within one the commit index may already speak of entries that take the
// place of those that were told.
absl::Status Recoverer::TellCommitted() {
  const Index committed = std::min(result_.recovery.hard_state.commit, result_.terms.last_index());
  if (on_committed_ == nullptr || committed <= committed_) return absl::OkStatus();
  committed_ = committed;
  return on_committed_(committed);
}

// The entries at `cursor`, of which `first` is the first, as long as they follow on each other in
// one term; how many. A restart spends its time here, hence a function of its own, small enough for
// the compiler to keep what it needs for each entry at hand.
[[gnu::noinline]] absl::StatusOr<uint32_t> Recoverer::ReplayRun(RecordCursor& cursor,
                                                                EntryId first) {
  const uint64_t term = first.term.value();
  const uint64_t known_head = known_head_.value();
  uint64_t next = first.index.value();
  Log::OnEntry& on_entry = on_entry_;
  RecordCursor at = cursor;
  while (!at.done()) {
    RecordCursor behind = at;
    Record record;
    if (!behind.Next(record) || record.type != RecordType::kEntry || record.group != kGroup ||
        record.first != next || record.second != term || next == UINT64_MAX) {
      break;
    }
    at = behind;
    ++next;
    if (record.first <= known_head) continue;
    absl::Status status = on_entry(
        {Index(record.first), Term(term), static_cast<EntryType>(record.subtype), record.body});
    if (!status.ok()) return status;
  }
  cursor = at;
  result_.terms.Append(first.index, Index(next - 1), first.term);
  return static_cast<uint32_t>(next - first.index.value());
}

// TermRuns and the writer CHECK the same; there a gap is our bug, here it is the disk's.
absl::Status Recoverer::CheckEntry(EntryId id) {
  const EntryId last = result_.terms.last();
  if (id.index != last.index.next() || id.index == Index(0) || id.index == Index(UINT64_MAX)) {
    return DataLoss("entry {} follows entry {}", id.index, last.index);
  }
  if (id.term < last.term) {
    return DataLoss("entry {} of term {} follows one of term {}", id.index, id.term, last.term);
  }
  if (batch_first_ == Index(0)) batch_first_ = id.index;
  return absl::OkStatus();
}

absl::Status Recoverer::ReplayRecord(const Record& record) {
  TermRuns& terms = result_.terms;
  HardState& hard_state = result_.recovery.hard_state;
  const bool mid_batch = batch_first_ != Index(0);
  switch (record.type) {
    case RecordType::kEntry:
      break;
    case RecordType::kStart: {
      const EntryId head = ToStart(record).head;
      if (head.index > terms.last_index()) {
        return DataLoss("head cut up to {} of a log that ends with {}", head.index,
                        terms.last_index());
      }
      if (head.index > head_.index) head_ = head;
      return absl::OkStatus();
    }
    case RecordType::kHardState:
      if (Term(record.first) < hard_state.term) {
        return DataLoss("hard state of term {} follows one of term {}", record.first,
                        hard_state.term);
      }
      hard_state = {.term = Term(record.first),
                    .vote = std::string(record.body),
                    .commit = Index(record.second)};
      return absl::OkStatus();
    case RecordType::kTruncation:
      if (mid_batch) return DataLoss("a truncation behind entries");
      return ReplayTruncation(Index(record.first));
    case RecordType::kHead:
      if (record.id().index > terms.last_index()) {
        return DataLoss("head cut up to {} of a log that ends with {}", record.first,
                        terms.last_index());
      }
      if (record.id().index > head_.index) head_ = record.id();
      return absl::OkStatus();
    case RecordType::kReset:
      if (mid_batch) return DataLoss("a reset behind entries");
      if (record.id().index == Index(UINT64_MAX)) return DataLoss("a reset to the last index");
      head_ = record.id();
      first_is_cut_ = false;
      head_term_unknown_ = false;
      terms = TermRuns(head_);
      result_.index.Clear();
      return absl::OkStatus();
  }
  return DataLoss("record of unknown type");
}

absl::Status Recoverer::ReplayTruncation(Index from) {
  TermRuns& terms = result_.terms;
  if (from == Index(0) || from > terms.last_index().next()) {
    return DataLoss("truncation from {} of a log of {} to {}", from, terms.first_index(),
                    terms.last_index());
  }
  if (from > terms.base().index) {
    terms.TruncateFrom(from);
    result_.index.TruncateFrom(from);
    return absl::OkStatus();
  }
  // What it leaves was in segments before the first. Those may be gone because all entries up to
  // some later one have been cut off since: CheckHead.
  if (!first_is_cut_ && from > known_head_.next()) {
    return DataLoss("truncation from {} of a log of {} to {}", from, terms.first_index(),
                    terms.last_index());
  }
  terms = TermRuns({from - 1, Term(0)});
  head_term_unknown_ = true;
  result_.index.Clear();
  return absl::OkStatus();
}

// What is missing before the first entry must have been cut off.
absl::Status Recoverer::CheckHead() const {
  if (chain_.empty()) return absl::OkStatus();
  const TermRuns& terms = result_.terms;
  if (head_.index > terms.last_index()) {
    return DataLoss("{}: the head is cut up to entry {}, but the log ends with {}{}",
                    chain_.back()->path, head_.index, terms.last_index(), cut_text_);
  }
  if (terms.base().index <= head_.index) return absl::OkStatus();
  const SegmentFile& first = *chain_.front();
  const uint64_t previous = first.start->previous_end.generation;
  const auto found = found_.find(previous);
  if (found != found_.end()) {
    MOKV_RETURN_IF_ERROR(found->second.header);
    return DataLoss(
        "{}: damaged at offset {}: the start of the segment does not verify, but {} follows it",
        found->second.path, kSegmentHeaderBytes, first.path);
  }
  // A cut of the head may have been in the batch that was cut off.
  return DataLoss("{}/{} is missing: {} follows it{}", directory_, SegmentName(previous),
                  first.path, cut_text_);
}

// Nothing that verifies starts at the end of the tail. Either the log ends there, or its last batch
// was not written whole, or what was durable is damaged.
absl::Status Recoverer::CheckTail(const SegmentFile& segment) {
  const Position end = result_.end;
  MOKV_ASSIGN_OR_RETURN(const std::string_view bytes, scanner_.Peek(kBatchHeaderBytes));
  if (!AllZero(bytes)) {
    tail_dirty_bytes_ = bytes.size();
    if (const std::optional<BatchHeader> header = DecodeBatchHeader(bytes, end)) {
      MOKV_ASSIGN_OR_RETURN(const uint64_t size, scanned_file_->Size());
      tail_dirty_bytes_ = std::min(header->size_bytes, size - end.offset);
    }
  }
  while (true) {
    MOKV_ASSIGN_OR_RETURN(const std::optional<Batch> batch, scanner_.Search());
    if (!batch.has_value()) break;
    if (batch->durable > end) {
      return DataLoss(
          "{}: damaged at offset {}: the batch at offset {} says that the log was durable beyond "
          "it",
          segment.path, end.offset, batch->offset);
    }
    tail_dirty_bytes_ = std::max(tail_dirty_bytes_, batch->end_offset - end.offset);
  }
  if (tail_dirty_bytes_ > 0) Cut(segment.path, end.offset, tail_dirty_bytes_);
  return absl::OkStatus();
}

void Recoverer::Cut(const std::string& path, uint64_t offset, uint64_t bytes) {
  LogWarn("cut off a log batch that was not written whole, or damaged after it was",
          {{"file", path}, {"offset", offset}, {"bytes", bytes}});
  result_.recovery.cut_bytes += bytes;
  cut_text_ = fmt::format("; {} does not verify from offset {} on", path, offset);
}

// Segments behind the tail have no start that verifies: they were prepared and
// not used yet, or the first batch was not written whole, or it is damaged.
absl::Status Recoverer::CheckBehindTail() {
  const uint64_t tail = chain_.empty() ? 0 : chain_.back()->generation;
  for (const auto& [generation, segment] : found_) {
    if (segment.untouched || generation <= tail) continue;
    MOKV_ASSIGN_OR_RETURN(scanned_file_, files_.Open(segment.path, FileSystem::OpenMode::kRead));
    const Position start{generation, kSegmentHeaderBytes};
    MOKV_RETURN_IF_ERROR(scanner_.Open(*scanned_file_, start, UINT64_MAX));
    uint64_t cut_bytes = kBatchHeaderBytes;
    while (true) {
      MOKV_ASSIGN_OR_RETURN(const std::optional<Batch> batch, scanner_.Search());
      if (!batch.has_value()) break;
      if (batch->durable > start) {
        MOKV_RETURN_IF_ERROR(segment.header);
        return DataLoss(
            "{}: damaged at offset {}: the batch at offset {} says that the log was durable beyond "
            "it",
            segment.path, start.offset, batch->offset);
      }
      cut_bytes = batch->end_offset - start.offset;
    }
    Cut(segment.path, start.offset, cut_bytes);
  }
  return absl::OkStatus();
}

// From here on all that was found counts as durable, so it has to be: a killed process leaves its
// last batch in the page cache only, and a failed fdatasync leaves it there marked clean, so that
// another one alone would not write it. Hence the write of the same bytes.
absl::Status Recoverer::FinishTail() {
  if (chain_.empty()) return absl::OkStatus();
  const std::string& path = chain_.back()->path;
  const uint64_t end = result_.end.offset;
  scanned_file_.reset();
  MOKV_ASSIGN_OR_RETURN(result_.tail, files_.Open(path, FileSystem::OpenMode::kReadWrite));
  if (tail_dirty_bytes_ > 0) {
    // Told once, and of no more use to anyone: the log goes on here.
    MOKV_RETURN_IF_ERROR(result_.tail->WriteAt(end, std::string(tail_dirty_bytes_, '\0')));
  }
  const uint64_t unsure_from = std::clamp(tail_unsure_from_, kSegmentHeaderBytes, end);
  MOKV_ASSIGN_OR_RETURN(const std::string unsure,
                        result_.tail->ReadAt(unsure_from, end - unsure_from));
  MOKV_RETURN_IF_ERROR(result_.tail->WriteAt(unsure_from, unsure));
  MOKV_RETURN_IF_ERROR(result_.tail->Sync());
  MOKV_ASSIGN_OR_RETURN(result_.tail_capacity_bytes, result_.tail->Size());
  return absl::OkStatus();
}

// What is not part of the log becomes the pool's.
absl::Status Recoverer::SortTheRest() {
  SegmentPool::Contents& pool = result_.pool;
  bool first_behind = true;
  for (auto& [generation, segment] : found_) {
    if (std::find(chain_.begin(), chain_.end(), &segment) != chain_.end()) continue;
    if (generation < result_.end.generation) {
      result_.superfluous.push_back(generation);
      continue;
    }
    // A generation that may have been written to, even if nothing of it is there, is never written
    // to again: what arrives on the disk late must not be taken for what comes. That is the first
    // one behind the tail.
    // Nor is one that an older version has prepared: what begins from now on is of ours.
    if (!segment.untouched || std::exchange(first_behind, false) ||
        segment.version != kFormatVersion) {
      pool.retired.push_back(generation);
      continue;
    }
    MOKV_ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                          files_.Open(segment.path, FileSystem::OpenMode::kReadWrite));
    MOKV_ASSIGN_OR_RETURN(const uint64_t capacity, file->Size());
    pool.ready.push_back({generation, std::move(file), capacity});
  }
  return absl::OkStatus();
}

void Recoverer::FillSummary() {
  Recovery& recovery = result_.recovery;
  TermRuns& terms = result_.terms;
  if (head_.index >= terms.base().index) terms.CutThrough(head_);
  result_.index.CutHead(terms.base().index);
  recovery.first_index = terms.first_index();
  recovery.last_index = terms.last_index();
  recovery.last_term = terms.last_term();
  recovery.segments = result_.segments.size();
}

}  // namespace

absl::StatusOr<RecoveredLog> RecoverLog(FileSystem& files, const std::string& directory,
                                        Log::OnEntry& on_entry, Log::OnCommitted& on_committed) {
  return Recoverer(files, directory, on_entry, on_committed).Run();
}

}  // namespace mokv::wal
