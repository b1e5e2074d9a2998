#include "wal/recovery.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"

namespace mokv::wal {
namespace {

constexpr uint64_t kNoEnd = UINT64_MAX;

struct Segment {
  std::string path;
  uint64_t generation = 0;
  SegmentHeader header;
  uint64_t end = kNoEnd;  // After its last batch. Known at once when a next segment names it.
};

bool AllZero(std::string_view bytes) {
  return bytes.find_first_not_of('\0') == std::string_view::npos;
}

std::string_view After(std::string_view bytes, uint64_t offset) {
  return offset < bytes.size() ? bytes.substr(offset) : std::string_view();
}

// A batch after `damage` that was written when the log was already durable beyond it: proof that
// the damaged bytes had been acknowledged.
std::optional<uint64_t> FindProofOfDurability(std::string_view bytes, Position damage) {
  for (uint64_t offset = damage.offset + kAlignment; offset + kBatchHeaderBytes <= bytes.size();
       offset += kAlignment) {
    const std::optional<Batch> batch = DecodeBatch(bytes, offset, damage.generation);
    if (batch.has_value() && batch->durable > damage) return offset;
  }
  return std::nullopt;
}

class Recoverer {
 public:
  Recoverer(FileSystem& files, const std::string& directory,
            absl::AnyInvocable<absl::Status(Entry)>& on_entry)
      : files_(files), directory_(directory), on_entry_(on_entry) {}

  absl::StatusOr<RecoveredLog> Run() {
    MOKV_RETURN_IF_ERROR(FindSegments());
    MOKV_RETURN_IF_ERROR(ReadHeaders());
    MOKV_RETURN_IF_ERROR(CheckChain());
    if (!segments_.empty()) {
      const SegmentHeader& first = segments_.front().header;
      result_.terms = TermRuns(first.first_index, first.previous_term);
    }
    for (Segment& segment : segments_) MOKV_RETURN_IF_ERROR(Scan(segment));
    MOKV_RETURN_IF_ERROR(FinishTail());
    MOKV_RETURN_IF_ERROR(EmitEntries());
    FillSummary();
    return std::move(result_);
  }

 private:
  absl::Status FindSegments();
  absl::Status ReadHeaders();
  absl::Status RemoveUnused(size_t i);
  absl::Status CheckChain() const;
  absl::Status Scan(Segment& segment);
  absl::Status Replay(const Segment& segment, uint64_t offset, const Batch& batch);
  absl::Status ReplayRecord(const Record& record);
  absl::Status CheckTail(const Segment& segment, std::string_view bytes);
  absl::Status FinishTail();
  absl::Status EmitEntries();
  void FillSummary();

  FileSystem& files_;
  const std::string& directory_;
  absl::AnyInvocable<absl::Status(Entry)>& on_entry_;

  std::vector<Segment> segments_;   // By generation.
  std::vector<Index> truncations_;  // In the order in which the log holds them.
  std::string tail_bytes_;          // Contents of the last segment.
  // What of the last segment may never have reached the disk: all after the last durable mark.
  uint64_t tail_unsure_from_ = 0;
  RecoveredLog result_;
};

absl::Status Recoverer::FindSegments() {
  MOKV_ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.List(directory_));
  for (const std::string& name : names) {
    const std::optional<uint64_t> generation = ParseSegmentName(name);
    if (!generation.has_value()) continue;
    segments_.push_back(
        {.path = fmt::format("{}/{}", directory_, name), .generation = *generation});
    result_.next_generation = std::max(result_.next_generation, *generation + 1);
  }
  std::sort(segments_.begin(), segments_.end(),
            [](const Segment& a, const Segment& b) { return a.generation < b.generation; });
  return absl::OkStatus();
}

absl::Status Recoverer::ReadHeaders() {
  for (size_t i = 0; i < segments_.size(); ++i) {
    Segment& segment = segments_[i];
    MOKV_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                          files_.Open(segment.path, FileSystem::OpenMode::kRead));
    MOKV_ASSIGN_OR_RETURN(const std::string bytes, file->ReadAt(0, kSegmentHeaderBytes));
    absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(bytes, segment.path);
    if (absl::IsDataLoss(header.status()) && i + 1 == segments_.size()) return RemoveUnused(i);
    if (!header.ok()) return header.status();
    if (header->generation != segment.generation) {
      return DataLoss("{}: its header says generation {:016x}", segment.path, header->generation);
    }
    segment.header = *header;
  }
  return absl::OkStatus();
}

// The last segment's header does not verify. Batches are written only once a header is durable, so
// without any the segment was being created when the node stopped; with some the header was hurt.
absl::Status Recoverer::RemoveUnused(size_t i) {
  const std::string path = segments_[i].path;
  MOKV_ASSIGN_OR_RETURN(const std::string bytes, files_.ReadFile(path));
  if (!AllZero(After(bytes, kSegmentHeaderBytes))) {
    return DataLoss(
        "{}: damaged at offset 0: the segment header does not verify, but batches follow", path);
  }
  LogWarn("removing a log segment whose creation was interrupted", {{"file", path}});
  MOKV_RETURN_IF_ERROR(files_.Remove(path));
  // Its removal must last before a successor appears, which would make it a damaged middle segment.
  MOKV_RETURN_IF_ERROR(files_.SyncDirectory(directory_));
  segments_.pop_back();
  return absl::OkStatus();
}

absl::Status Recoverer::CheckChain() const {
  uint64_t previous = 0;
  for (const Segment& segment : segments_) {
    const uint64_t expected = segment.header.previous_end.generation;
    if (expected < previous) {
      return DataLoss("{}: does not follow {}: its header names generation {:016x}", segment.path,
                      SegmentName(previous), expected);
    }
    if (expected > previous) {
      return DataLoss("{}/{} is missing: {} follows it", directory_, SegmentName(expected),
                      segment.path);
    }
    previous = segment.generation;
  }
  return absl::OkStatus();
}

absl::Status Recoverer::Scan(Segment& segment) {
  const bool last = &segment == &segments_.back();
  const Segment* next = last ? nullptr : &segment + 1;
  const uint64_t known_end = last ? kNoEnd : next->header.previous_end.offset;
  const TermRuns& terms = result_.terms;
  if (segment.header.first_index != terms.last_index().next() ||
      segment.header.previous_term != terms.last_term()) {
    return DataLoss(
        "{}: starts at index {} after term {}; the segments before end at {} in term {}",
        segment.path, segment.header.first_index, segment.header.previous_term, terms.last_index(),
        terms.last_term());
  }
  MOKV_ASSIGN_OR_RETURN(std::string bytes, files_.ReadFile(segment.path));
  uint64_t offset = kSegmentHeaderBytes;
  uint64_t unsure_from = 0;
  while (offset < known_end) {
    const std::optional<Batch> batch = DecodeBatch(bytes, offset, segment.generation);
    if (!batch.has_value() || batch->end_offset > known_end) {
      if (last) break;
      // The next segment was created only after this one was durable up to its end.
      return DataLoss("{}: damaged at offset {}: {} says that the log was durable up to offset {}",
                      segment.path, offset, next->path, known_end);
    }
    MOKV_RETURN_IF_ERROR(Replay(segment, offset, *batch));
    // A mark in an earlier segment would mean that nothing of this one is sure.
    unsure_from = batch->durable.generation == segment.generation ? batch->durable.offset : 0;
    offset = batch->end_offset;
  }
  segment.end = offset;
  if (!last) return absl::OkStatus();
  tail_unsure_from_ = std::min(unsure_from, offset);
  MOKV_RETURN_IF_ERROR(CheckTail(segment, bytes));
  tail_bytes_ = std::move(bytes);
  return absl::OkStatus();
}

absl::Status Recoverer::Replay(const Segment& segment, uint64_t offset, const Batch& batch) {
  RecordCursor cursor(batch.records);
  uint32_t records = 0;
  while (!cursor.done()) {
    const std::optional<Record> record = cursor.Next();
    if (!record.has_value()) {
      return DataLoss("{}: record {} of the batch at offset {} is malformed", segment.path, records,
                      offset);
    }
    if (absl::Status status = ReplayRecord(*record); !status.ok()) {
      return DataLoss("{}: record {} of the batch at offset {}: {}", segment.path, records, offset,
                      MessageOf(status));
    }
    ++records;
  }
  if (records != batch.record_count) {
    return DataLoss("{}: the batch at offset {} holds {} records instead of {}", segment.path,
                    offset, records, batch.record_count);
  }
  return absl::OkStatus();
}

// TermRuns and the writer CHECK the same; there a gap is our bug, here it is the disk's.
absl::Status Recoverer::ReplayRecord(const Record& record) {
  TermRuns& terms = result_.terms;
  HardState& hard_state = result_.recovery.hard_state;
  switch (record.type) {
    case RecordType::kEntry:
      if (Index(record.first) != terms.last_index().next()) {
        return DataLoss("entry {} follows entry {}", record.first, terms.last_index());
      }
      if (Term(record.second) < terms.last_term()) {
        return DataLoss("entry {} of term {} follows one of term {}", record.first, record.second,
                        terms.last_term());
      }
      terms.Append(Index(record.first), Term(record.second));
      return absl::OkStatus();
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
      if (Index(record.first) < terms.first_index() ||
          Index(record.first) > terms.last_index().next()) {
        return DataLoss("truncation from {} of a log of {} to {}", record.first,
                        terms.first_index(), terms.last_index());
      }
      terms.TruncateFrom(Index(record.first));
      truncations_.push_back(Index(record.first));
      return absl::OkStatus();
  }
  return DataLoss("record of unknown type");
}

// Nothing that verifies starts at segment.end. Either the log ends there, or its last batch was not
// written whole, or what was durable is damaged.
absl::Status Recoverer::CheckTail(const Segment& segment, std::string_view bytes) {
  const std::string_view rest = After(bytes, segment.end);
  const size_t last_used = rest.find_last_not_of('\0');
  if (last_used == std::string_view::npos) return absl::OkStatus();
  if (const std::optional<uint64_t> proof =
          FindProofOfDurability(bytes, {segment.generation, segment.end})) {
    return DataLoss(
        "{}: damaged at offset {}: the batch at offset {} says that the log was durable beyond it",
        segment.path, segment.end, *proof);
  }
  result_.recovery.cut_bytes = last_used + 1;
  return absl::OkStatus();
}

// From here on all that was found counts as durable, so it has to be: a killed process leaves its
// last batch in the page cache only, and a failed fdatasync leaves it there marked clean, so that
// another one alone would not write it. Hence the write of the same bytes.
absl::Status Recoverer::FinishTail() {
  if (segments_.empty()) return absl::OkStatus();
  const Segment& segment = segments_.back();
  MOKV_ASSIGN_OR_RETURN(result_.tail, files_.Open(segment.path, FileSystem::OpenMode::kReadWrite));
  if (result_.recovery.cut_bytes > 0) {
    LogWarn(
        "cut off a log batch that was not written whole",
        {{"file", segment.path}, {"offset", segment.end}, {"bytes", result_.recovery.cut_bytes}});
    // The segment ends here for good: with no room left the next batch starts a new one, whose
    // generation makes sure that nothing of the cut part can ever verify again.
    MOKV_RETURN_IF_ERROR(result_.tail->Truncate(segment.end));
  }
  const std::string_view unsure =
      std::string_view(tail_bytes_).substr(tail_unsure_from_, segment.end - tail_unsure_from_);
  MOKV_RETURN_IF_ERROR(result_.tail->WriteAt(tail_unsure_from_, unsure));
  MOKV_RETURN_IF_ERROR(result_.tail->Sync());
  MOKV_RETURN_IF_ERROR(files_.SyncDirectory(directory_));
  MOKV_ASSIGN_OR_RETURN(result_.tail_capacity_bytes, result_.tail->Size());
  result_.end = {.generation = segment.generation, .offset = segment.end};
  tail_bytes_ = std::string();
  return absl::OkStatus();
}

// A second pass, now that it is known which entries a later truncation drops; keeping them all in
// memory until then would need as much of it as the log is long.
absl::Status Recoverer::EmitEntries() {
  // survive_below[n]: an entry met after n truncations survives when its index is below this.
  std::vector<Index> survive_below(truncations_.size() + 1, Index(UINT64_MAX));
  for (size_t i = truncations_.size(); i-- > 0;) {
    survive_below[i] = std::min(truncations_[i], survive_below[i + 1]);
  }
  size_t truncations_met = 0;
  for (const Segment& segment : segments_) {
    MOKV_ASSIGN_OR_RETURN(const std::string bytes, files_.ReadFile(segment.path));
    for (uint64_t offset = kSegmentHeaderBytes; offset < segment.end;) {
      const std::optional<Batch> batch = DecodeBatch(bytes, offset, segment.generation);
      if (!batch.has_value()) return DataLoss("{}: changed at offset {}", segment.path, offset);
      for (RecordCursor cursor(batch->records); !cursor.done();) {
        const std::optional<Record> record = cursor.Next();
        if (!record.has_value()) return DataLoss("{}: changed at offset {}", segment.path, offset);
        if (record->type == RecordType::kTruncation) ++truncations_met;
        if (record->type != RecordType::kEntry) continue;
        if (Index(record->first) >= survive_below[truncations_met]) continue;
        Entry entry{.index = Index(record->first),
                    .term = Term(record->second),
                    .type = static_cast<EntryType>(record->subtype),
                    .payload = nullptr};
        if (!record->body.empty())
          entry.payload = std::make_shared<const std::string>(record->body);
        MOKV_RETURN_IF_ERROR(on_entry_(std::move(entry)));
      }
      offset = batch->end_offset;
    }
  }
  MOKV_CHECK_EQ(truncations_met, truncations_.size());
  return absl::OkStatus();
}

void Recoverer::FillSummary() {
  Recovery& recovery = result_.recovery;
  recovery.first_index = result_.terms.first_index();
  recovery.last_index = result_.terms.last_index();
  recovery.last_term = result_.terms.last_term();
  recovery.segments = segments_.size();
}

}  // namespace

absl::StatusOr<RecoveredLog> RecoverLog(FileSystem& files, const std::string& directory,
                                        absl::AnyInvocable<absl::Status(Entry)>& on_entry) {
  return Recoverer(files, directory, on_entry).Run();
}

}  // namespace mokv::wal
