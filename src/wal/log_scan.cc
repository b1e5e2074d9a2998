#include "wal/log_scan.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"
#include "wal/batch_replay.h"
#include "wal/scanner.h"

namespace mokv::wal {
namespace {

bool AllZero(std::string_view bytes) {
  return bytes.find_first_not_of('\0') == std::string_view::npos;
}

// A file with a segment's name.
struct SegmentFile : SegmentInfo {
  uint64_t size_bytes = 0;
  absl::Status header;                // Whether it verifies.
  std::optional<SegmentStart> start;  // Of a segment that has been written to.
  bool untouched = false;             // Prepared, and certainly never written to.
};

class LogScan {
 public:
  LogScan(FileSystem& files, const std::string& directory, Log::OnEntry& on_entry,
          Log::OnCommitted& on_committed)
      : files_(files), directory_(directory), replay_(on_entry, on_committed) {}

  absl::StatusOr<ScannedLog> Run() {
    MOKV_RETURN_IF_ERROR(ReadAll());
    MOKV_RETURN_IF_ERROR(FinishTail());
    // Names that a killed process left behind must last too: those of the log, and those of files
    // that are about to get other contents.
    MOKV_RETURN_IF_ERROR(files_.SyncDirectory(directory_));
    MOKV_RETURN_IF_ERROR(SortTheRest());
    FillSummary();
    return std::move(result_);
  }

  absl::StatusOr<FoundLog> RunWithoutChanges() {
    changes_nothing_ = true;
    MOKV_RETURN_IF_ERROR(ReadAll());
    FillSummary();
    return result_.found;
  }

 private:
  absl::Status ReadAll() {
    MOKV_RETURN_IF_ERROR(FindSegments());
    MOKV_RETURN_IF_ERROR(ChooseChain());
    for (size_t i = 0; i < chain_.size(); ++i) MOKV_RETURN_IF_ERROR(Scan(i));
    MOKV_RETURN_IF_ERROR(CheckBehindTail());
    return CheckHead();
  }
  absl::Status FindSegments();
  absl::Status LookAt(SegmentFile& segment);
  absl::Status ChooseChain();
  absl::Status Scan(size_t i);
  absl::Status CheckHead() const;
  absl::Status CheckTail(const SegmentFile& segment);
  absl::Status CheckBehindTail();
  absl::Status LostBefore(const SegmentFile& segment, const Batch& batch) const;
  void Cut(const std::string& path, uint64_t offset, uint64_t bytes);
  absl::Status CheckUnsure(std::string_view bytes, Position from) const;
  absl::Status FinishTail();
  absl::Status SortTheRest();
  void FillSummary();
  std::string PathOf(const std::string& name) const {
    return fmt::format("{}/{}", directory_, name);
  }

  FileSystem& files_;
  const std::string& directory_;
  std::map<uint64_t, SegmentFile> segments_;  // By generation.
  std::vector<SegmentFile*> chain_;           // Those that the log consists of, in order.
  BatchReplay replay_;
  SegmentScanner scanner_;
  std::unique_ptr<File> scanned_file_;
  bool changes_nothing_ = false;
  std::string cut_text_;  // What was cut off last, for messages.
  ScannedLog result_;
  // From here on, the tail's bytes may never have reached the disk.
  uint64_t tail_unsure_from_ = 0;
  // So many bytes after the end of the tail must become zero.
  uint64_t tail_dirty_bytes_ = 0;
};

absl::Status LogScan::FindSegments() {
  MOKV_ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.List(directory_));
  uint64_t& next_generation = result_.pool.next_generation;
  for (const std::string& name : names) {
    const std::optional<uint64_t> spare = ParseSpareName(name);
    if (spare.has_value() && *spare != UINT64_MAX) {
      MOKV_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                            files_.Open(PathOf(name), FileSystem::OpenMode::kRead));
      MOKV_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
      result_.pool.spares.push_back({*spare, size});
      next_generation = std::max(next_generation, *spare + 1);
    }
    const std::optional<uint64_t> generation = ParseSegmentName(name);
    if (!generation.has_value()) continue;
    // No generation would be left for new segments; we never made this file.
    if (*generation == UINT64_MAX) return DataLoss("{}: {} is no segment", directory_, name);
    next_generation = std::max(next_generation, *generation + 1);
    SegmentFile& segment = segments_[*generation];
    segment.path = PathOf(name);
    segment.generation = *generation;
    MOKV_RETURN_IF_ERROR(LookAt(segment));
  }
  return absl::OkStatus();
}

absl::Status LogScan::LookAt(SegmentFile& segment) {
  MOKV_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                        files_.Open(segment.path, FileSystem::OpenMode::kRead));
  MOKV_ASSIGN_OR_RETURN(segment.size_bytes, file->Size());
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
    // Checked first, since the start of another group must not be believed.
    if (segment.header.ok()) MOKV_RETURN_IF_ERROR(CheckGroups(segment, *batch));
    segment.start = StartOf(*batch);
  }
  segment.untouched =
      segment.header.ok() && AllZero(first.substr(0, kBatchHeaderBytes)) && !batch.has_value();
  return absl::OkStatus();
}

// The newest segment with a start is the tail. The chain goes back from it as far as entries are
// needed.
absl::Status LogScan::ChooseChain() {
  for (auto& [generation, segment] : segments_) {
    if (segment.start.has_value()) chain_ = {&segment};
  }
  if (chain_.empty()) return absl::OkStatus();
  const EntryId known_head = chain_.front()->start->head;
  bool first_is_cut = false;
  while (chain_.front()->start->previous.index > known_head.index) {
    const uint64_t previous = chain_.front()->start->previous_end.generation;
    const auto found = segments_.find(previous);
    // It may be missing: a later cut of the head may have made it unnecessary (CheckHead).
    first_is_cut = found == segments_.end() || !found->second.start.has_value() ||
                   previous >= chain_.front()->generation;
    if (first_is_cut) break;
    chain_.insert(chain_.begin(), &found->second);
  }
  for (const SegmentFile* segment : chain_) MOKV_RETURN_IF_ERROR(segment->header);
  replay_.Begin(chain_.front()->start->previous, known_head, first_is_cut);
  return absl::OkStatus();
}

absl::Status LogScan::Scan(size_t i) {
  const SegmentFile& segment = *chain_[i];
  const SegmentFile* next = i + 1 < chain_.size() ? chain_[i + 1] : nullptr;
  const uint64_t known_end = next == nullptr ? UINT64_MAX : next->start->previous_end.offset;
  MOKV_RETURN_IF_ERROR(replay_.CheckStart(segment, segment.start->previous));
  MOKV_ASSIGN_OR_RETURN(scanned_file_, files_.Open(segment.path, FileSystem::OpenMode::kRead));
  MOKV_RETURN_IF_ERROR(
      scanner_.Open(*scanned_file_, {segment.generation, kSegmentHeaderBytes}, known_end));
  result_.segments.push_back(
      {segment.generation, segment.start->previous.index.next(), segment.size_bytes});
  while (scanner_.offset() < known_end) {
    MOKV_ASSIGN_OR_RETURN(const std::optional<Batch> batch, scanner_.Next());
    if (!batch.has_value()) break;
    MOKV_RETURN_IF_ERROR(replay_.Add(segment, *batch));
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

// What is missing before the first entry must have been cut off.
absl::Status LogScan::CheckHead() const {
  if (chain_.empty()) return absl::OkStatus();
  const TermRuns& terms = replay_.terms();
  const Index head = replay_.head().index;
  if (head > terms.last_index()) {
    return DataLoss("{}: the head is cut up to entry {}, but the log ends with {}{}",
                    chain_.back()->path, head, terms.last_index(), cut_text_);
  }
  if (terms.base().index <= head) return absl::OkStatus();
  const SegmentFile& first = *chain_.front();
  const uint64_t previous = first.start->previous_end.generation;
  const auto found = segments_.find(previous);
  if (found != segments_.end()) {
    MOKV_RETURN_IF_ERROR(found->second.header);
    return DataLoss(
        "{}: damaged at offset {}: the start of the segment does not verify, but {} follows it",
        found->second.path, kSegmentHeaderBytes, first.path);
  }
  // A cut of the head may have been in the batch that was cut off.
  return DataLoss("{} is missing: {} follows it{}", PathOf(SegmentName(previous)), first.path,
                  cut_text_);
}

// Nothing that verifies starts at the end of the tail. Either the log ends there, or its last batch
// was not written whole, or what was durable is damaged.
absl::Status LogScan::CheckTail(const SegmentFile& segment) {
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

void LogScan::Cut(const std::string& path, uint64_t offset, uint64_t bytes) {
  if (!changes_nothing_) {
    LogWarn("cut off a log batch that was not written whole, or damaged after it was",
            {{"file", path}, {"offset", offset}, {"bytes", bytes}});
  }
  result_.found.cut_bytes += bytes;
  cut_text_ = fmt::format("; {} does not verify from offset {} on", path, offset);
}

// Segments behind the tail have no start that verifies: they were prepared and
// not used yet, or the first batch was not written whole, or it is damaged. In the last case what
// follows in them proves that it was durable, and also how far the tail was.
absl::Status LogScan::CheckBehindTail() {
  for (const auto& [generation, segment] : segments_) {
    if (segment.untouched || generation <= result_.end.generation) continue;
    MOKV_ASSIGN_OR_RETURN(scanned_file_, files_.Open(segment.path, FileSystem::OpenMode::kRead));
    const Position start{generation, kSegmentHeaderBytes};
    MOKV_RETURN_IF_ERROR(scanner_.Open(*scanned_file_, start, UINT64_MAX));
    uint64_t cut_bytes = kBatchHeaderBytes;
    while (true) {
      MOKV_ASSIGN_OR_RETURN(const std::optional<Batch> batch, scanner_.Search());
      if (!batch.has_value()) break;
      if (batch->durable > result_.end) return LostBefore(segment, *batch);
      cut_bytes = batch->end_offset - start.offset;
    }
    Cut(segment.path, start.offset, cut_bytes);
  }
  return absl::OkStatus();
}

// The batch says that the log was durable beyond the end that was found, in the tail or in a segment
// behind it, of which the start does not verify then.
absl::Status LogScan::LostBefore(const SegmentFile& segment, const Batch& batch) const {
  const uint64_t generation = batch.durable.generation;
  const bool in_tail = generation == result_.end.generation;
  const uint64_t offset = in_tail ? result_.end.offset : kSegmentHeaderBytes;
  const auto damaged = segments_.find(generation);
  if (damaged == segments_.end()) {
    return DataLoss("{} is missing: the batch at offset {} of {} says that it was part of the log",
                    PathOf(SegmentName(generation)), batch.offset, segment.path);
  }
  MOKV_RETURN_IF_ERROR(damaged->second.header);
  const std::string& path = damaged->second.path;
  return DataLoss(
      "{}: damaged at offset {}: the batch at offset {}{} says that the log was durable beyond it",
      path, offset, batch.offset,
      path == segment.path ? std::string() : fmt::format(" of {}", segment.path));
}

// The bytes have been read a second time, and what is written again must be what was found. They are
// whole batches: a durable mark is where one ended.
absl::Status LogScan::CheckUnsure(std::string_view bytes, Position from) const {
  Position at = from;
  while (at < result_.end) {
    const std::optional<Batch> batch = DecodeBatch(bytes.substr(at.offset - from.offset), at);
    if (!batch.has_value()) {
      return DataLoss("{}: damaged at offset {}: a batch that verified does not any more",
                      chain_.back()->path, at.offset);
    }
    at.offset = batch->end_offset;
  }
  return absl::OkStatus();
}

// From here on all that was found counts as durable, so it has to be. A killed process leaves its
// last batch in the page cache only, and a failed fdatasync leaves the batch there marked clean, so
// that another fdatasync alone would not write it. Hence the same bytes are written again.
absl::Status LogScan::FinishTail() {
  if (chain_.empty()) return absl::OkStatus();
  const std::string& path = chain_.back()->path;
  const uint64_t end = result_.end.offset;
  scanned_file_.reset();
  MOKV_ASSIGN_OR_RETURN(result_.tail, files_.Open(path, FileSystem::OpenMode::kReadWrite));
  if (tail_dirty_bytes_ > 0) {
    // These bytes have been reported and are of no more use: the log goes on here.
    MOKV_RETURN_IF_ERROR(result_.tail->WriteAt(end, std::string(tail_dirty_bytes_, '\0')));
  }
  const uint64_t unsure_from = std::clamp(tail_unsure_from_, kSegmentHeaderBytes, end);
  MOKV_ASSIGN_OR_RETURN(const std::string unsure,
                        result_.tail->ReadAt(unsure_from, end - unsure_from));
  MOKV_RETURN_IF_ERROR(CheckUnsure(unsure, {result_.end.generation, unsure_from}));
  MOKV_RETURN_IF_ERROR(result_.tail->WriteAt(unsure_from, unsure));
  MOKV_RETURN_IF_ERROR(result_.tail->Sync());
  MOKV_ASSIGN_OR_RETURN(result_.tail_capacity_bytes, result_.tail->Size());
  return absl::OkStatus();
}

// What is not part of the log becomes the pool's.
absl::Status LogScan::SortTheRest() {
  SegmentPool::Contents& pool = result_.pool;
  uint64_t largest_behind = 0;
  for (auto& [generation, segment] : segments_) {
    if (std::find(chain_.begin(), chain_.end(), &segment) != chain_.end()) continue;
    if (generation < result_.end.generation) {
      result_.superfluous.push_back({generation, segment.size_bytes});
      continue;
    }
    // A generation that may have been written to is never written to again, even if nothing of it
    // is there: what arrives on the disk late must not be taken for what comes. The first one
    // behind the tail is such a generation, and so is one that is larger than all between the tail
    // and itself, which may have been too small for a large entry. A segment that an older version
    // has prepared is not used either: new segments are of our version.
    const bool maybe_used = segment.size_bytes > largest_behind;
    largest_behind = std::max(largest_behind, segment.size_bytes);
    if (!segment.untouched || maybe_used || segment.version != kFormatVersion) {
      pool.retired.push_back({generation, segment.size_bytes});
      continue;
    }
    MOKV_ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                          files_.Open(segment.path, FileSystem::OpenMode::kReadWrite));
    pool.ready.push_back({generation, std::move(file), segment.size_bytes});
  }
  return absl::OkStatus();
}

void LogScan::FillSummary() {
  replay_.Finish();
  result_.terms = replay_.terms();
  result_.index = std::move(replay_.index());
  FoundLog& found = result_.found;
  found.hard_state = replay_.hard_state();
  found.first_index = result_.terms.first_index();
  found.last_index = result_.terms.last_index();
  found.last_term = result_.terms.last_term();
  found.segments = result_.segments.size();
}

}  // namespace

absl::StatusOr<ScannedLog> ScanLog(FileSystem& files, const std::string& directory,
                                   Log::OnEntry& on_entry, Log::OnCommitted& on_committed) {
  return LogScan(files, directory, on_entry, on_committed).Run();
}

absl::StatusOr<FoundLog> ReadLog(FileSystem& files, const std::string& directory,
                                 Log::OnEntry& on_entry, Log::OnCommitted& on_committed) {
  return LogScan(files, directory, on_entry, on_committed).RunWithoutChanges();
}

}  // namespace mokv::wal
