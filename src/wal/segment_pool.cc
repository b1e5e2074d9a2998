#include "wal/segment_pool.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"
#include "wal/format.h"

namespace mokv::wal {
namespace {

constexpr uint64_t kFillBytes = uint64_t{1} << 20;
// Filling writes in portions, so that it does not hold up the log's own fdatasync for long.
constexpr uint64_t kFillSyncBytes = uint64_t{4} << 20;
// Files kept for later beyond the ready ones; more are removed.
constexpr size_t kSparesMax = 2;

bool HasRoom(const SegmentPool::Segment& segment, uint64_t bytes) {
  return segment.capacity_bytes >= kSegmentStartBytesMax + bytes;
}

uint64_t BytesOf(const std::vector<SegmentPool::UnusedFile>& files) {
  uint64_t bytes = 0;
  for (const SegmentPool::UnusedFile& file : files) bytes += file.size_bytes;
  return bytes;
}

}  // namespace

absl::Status FinalError(absl::Status status) {
  if (!absl::IsResourceExhausted(status)) return status;
  return absl::Status(absl::StatusCode::kUnavailable, status.message());
}

SegmentPool::SegmentPool(FileSystem& files, std::unique_ptr<OpenedDirectory> directory,
                         Executor& background, Options options, Contents contents,
                         absl::AnyInvocable<void()> on_change)
    : files_(files),
      directory_(std::move(directory)),
      background_(background),
      options_(std::move(options)),
      on_change_(std::move(on_change)),
      retired_(std::move(contents.retired)),
      spares_(std::move(contents.spares)),
      next_generation_(contents.next_generation) {
  for (Segment& segment : contents.ready) ready_.push_back(std::move(segment));
}

std::string SegmentPool::PathOf(const std::string& name) const {
  return fmt::format("{}/{}", options_.directory, name);
}

std::optional<SegmentPool::Segment> SegmentPool::Take(uint64_t bytes) {
  std::optional<Segment> segment;
  {
    const MutexLock lock(mutex_);
    if (IsReadyFor(bytes)) {
      for (; !HasRoom(ready_.front(), bytes); ready_.pop_front()) {
        retired_.push_back({ready_.front().generation, ready_.front().capacity_bytes});
      }
    }
    if (!ready_.empty()) {
      segment = std::move(ready_.front());
      ready_.pop_front();
    }
  }
  Schedule();
  return segment;
}

bool SegmentPool::HasReadyFor(uint64_t bytes) const {
  const MutexLock lock(mutex_);
  return IsReadyFor(bytes);
}

bool SegmentPool::IsReadyFor(uint64_t bytes) const {
  return std::any_of(ready_.begin(), ready_.end(),
                     [&](const Segment& segment) { return HasRoom(segment, bytes); });
}

// What was prepared when segments were smaller is used, too, but is not what should be ready.
uint64_t SegmentPool::Missing() const {
  const auto usual = static_cast<uint64_t>(std::count_if(
      ready_.begin(), ready_.end(),
      [&](const Segment& segment) { return segment.capacity_bytes >= options_.segment_bytes; }));
  return options_.ready_goal - std::min<uint64_t>(options_.ready_goal, usual);
}

void SegmentPool::Want(uint64_t bytes) {
  {
    const MutexLock lock(mutex_);
    if (IsReadyFor(bytes)) return;
    wanted_bytes_ = std::max(wanted_bytes_, bytes);
  }
  Schedule();
}

void SegmentPool::Stop() {
  const MutexLock lock(mutex_);
  if (status_.ok() || absl::IsResourceExhausted(status_)) status_ = Unavailable("stopped");
}

void SegmentPool::PrepareOne() {
  const MutexLock working(work_mutex_);
  {
    const MutexLock lock(mutex_);
    if (absl::IsResourceExhausted(status_)) status_ = absl::OkStatus();
  }
  while (true) {
    {
      const MutexLock lock(mutex_);
      if (!ready_.empty()) return;
    }
    if (!WorkOnce()) return;
  }
}

void SegmentPool::Retire(const std::vector<UnusedFile>& files) {
  if (files.empty()) return;
  {
    const MutexLock lock(mutex_);
    retired_.insert(retired_.end(), files.begin(), files.end());
    // What was cut off may be the space that was missing.
    if (absl::IsResourceExhausted(status_)) status_ = absl::OkStatus();
  }
  Schedule();
}

void SegmentPool::Retry() {
  {
    const MutexLock lock(mutex_);
    if (!absl::IsResourceExhausted(status_)) return;
    status_ = absl::OkStatus();
  }
  Schedule();
}

void SegmentPool::Schedule() {
  {
    const MutexLock lock(mutex_);
    if (scheduled_) return;
    const bool idle = retired_.empty() && Missing() == 0 && wanted_bytes_ == 0;
    if (idle || !status_.ok()) return;
    scheduled_ = true;
  }
  background_.Post([this] { Work(); });
}

void SegmentPool::Work() {
  const MutexLock working(work_mutex_);
  {
    const MutexLock lock(mutex_);
    scheduled_ = false;
  }
  while (WorkOnce()) {
  }
}

bool SegmentPool::WorkOnce() {
  std::vector<UnusedFile> retired;
  std::optional<UnusedFile> spare;
  uint64_t generation = 0;
  uint64_t wanted = 0;
  {
    const MutexLock lock(mutex_);
    if (!status_.ok()) return false;
    retired = std::exchange(retired_, {});
    work_bytes_ = BytesOf(retired);
    if (retired.empty()) {
      if (Missing() == 0) {
        wanted = std::exchange(wanted_bytes_, 0);
        if (wanted == 0 || IsReadyFor(wanted)) return false;
      } else if (!spares_.empty()) {
        spare = spares_.back();
        spares_.pop_back();
        work_bytes_ = spare->size_bytes;
      }
      generation = next_generation_++;
    }
  }
  if (!retired.empty()) {
    Settle(MoveRetired(retired));
  } else if (spare.has_value()) {
    Settle(PrepareSpare(*spare, generation));
  } else if (wanted > 0) {
    Settle(PrepareWanted(generation, kSegmentStartBytesMax + wanted));
  } else {
    Settle(PrepareNew(generation, options_.segment_bytes));
  }
  return true;
}

void SegmentPool::Settle(const absl::Status& status) {
  const bool no_space = absl::IsResourceExhausted(status);
  bool told = false;
  {
    const MutexLock lock(mutex_);
    work_bytes_ = 0;
    if (status_.ok()) status_ = status;
    told = std::exchange(told_no_space_, no_space);
  }
  // Once for each time that space runs out, however often it is tried again.
  if (no_space && !told) {
    LogWarn("no space for the next log segment; writes that need it are refused",
            {{"directory", options_.directory}, {"reason", MessageOf(status)}});
  } else if (!no_space && told) {
    LogInfo("there is space for log segments again", {{"directory", options_.directory}});
  }
  if (on_change_) on_change_();
}

// Takes the files out of the log's names, durably: only after that may their contents change.
absl::Status SegmentPool::MoveRetired(const std::vector<UnusedFile>& retired) {
  std::vector<UnusedFile> kept;
  absl::Status status;
  auto next = retired.begin();
  for (; next != retired.end(); ++next) {
    status = MoveOne(*next, kept);
    if (!status.ok()) break;
  }
  MOKV_RETURN_IF_ERROR(FinalError(directory_->Sync()));
  const MutexLock lock(mutex_);
  spares_.insert(spares_.end(), kept.begin(), kept.end());
  // After a lack of space, which passes, the others are tried again.
  retired_.insert(retired_.begin(), next, retired.end());
  work_bytes_ = 0;
  return status;
}

// The file becomes a spare and one of `kept`, unless there are enough of them.
absl::Status SegmentPool::MoveOne(const UnusedFile& retired, std::vector<UnusedFile>& kept) {
  const std::string path = PathOf(SegmentName(retired.generation));
  bool keep = false;
  {
    const MutexLock lock(mutex_);
    keep = spares_.size() + kept.size() < Missing() + kSparesMax;
  }
  if (!keep) return files_.Remove(path);
  MOKV_RETURN_IF_ERROR(files_.Rename(path, PathOf(SpareName(retired.generation))));
  kept.push_back(retired);
  return absl::OkStatus();
}

absl::Status SegmentPool::PrepareSpare(const UnusedFile& spare, uint64_t generation) {
  absl::Status status = UseSpare(spare, generation);
  const MutexLock lock(mutex_);
  if (absl::IsResourceExhausted(status)) spares_.push_back(spare);
  return status;
}

absl::Status SegmentPool::UseSpare(const UnusedFile& spare, uint64_t generation) {
  const std::string path = PathOf(SpareName(spare.generation));
  MOKV_ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                        files_.Open(path, FileSystem::OpenMode::kReadWrite));
  MOKV_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  // Made for another segment size, for one huge entry, or never finished.
  if (size < options_.segment_bytes || size / 2 > options_.segment_bytes) {
    return files_.Remove(path);
  }
  MOKV_RETURN_IF_ERROR(Finish(std::move(file), path, generation));
  const MutexLock lock(mutex_);
  ++stats_.reused;
  return absl::OkStatus();
}

absl::Status SegmentPool::PrepareNew(uint64_t generation, uint64_t size_bytes) {
  const std::string path = PathOf(SpareName(generation));
  MOKV_ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                        files_.Open(path, FileSystem::OpenMode::kCreateNew));
  absl::Status status = file->Preallocate(size_bytes);
  if (status.ok()) {
    const MutexLock lock(mutex_);
    work_bytes_ = size_bytes;
  }
  if (status.ok()) status = FillWithZeros(*file, size_bytes);
  if (status.ok()) status = Finish(std::move(file), path, generation);
  if (absl::IsResourceExhausted(status)) {
    // The little space that is left must not be wasted.
    MOKV_RETURN_IF_ERROR(files_.Remove(path));
  }
  MOKV_RETURN_IF_ERROR(status);
  const MutexLock lock(mutex_);
  ++stats_.made;
  return absl::OkStatus();
}

// That there is no space for it is no lack of space for the log: what needs it is refused, and
// nothing else.
absl::Status SegmentPool::PrepareWanted(uint64_t generation, uint64_t size_bytes) {
  absl::Status status = PrepareNew(generation, size_bytes);
  if (!absl::IsResourceExhausted(status)) return status;
  LogWarn(
      "no space for a log segment of the size that a large write needs; it is refused",
      {{"directory", options_.directory}, {"bytes", size_bytes}, {"reason", MessageOf(status)}});
  return absl::OkStatus();
}

// Reserved space is not written space: without this every fdatasync of the log
// would also have to record in the file system's journal which parts now have
// contents.
absl::Status SegmentPool::FillWithZeros(File& file, uint64_t size_bytes) {
  const std::string zeros(std::min(kFillBytes, size_bytes), '\0');
  uint64_t unsynced = 0;
  for (uint64_t offset = 0; offset < size_bytes;) {
    const uint64_t size = std::min<uint64_t>(zeros.size(), size_bytes - offset);
    MOKV_RETURN_IF_ERROR(file.WriteAt(offset, std::string_view(zeros).substr(0, size)));
    offset += size;
    unsynced += size;
    if (unsynced >= kFillSyncBytes) {
      MOKV_RETURN_IF_ERROR(FinalError(file.Sync()));
      unsynced = 0;
    }
    const MutexLock lock(mutex_);
    stats_.filled_bytes += size;
    // The log will need this file at once: slower writes are better than none.
    // Not for the first file of all, for which the log does not wait.
    if (ready_.empty() && offset >= kFillSyncBytes && stats_.made + stats_.reused > 0) break;
  }
  return absl::OkStatus();
}

absl::Status SegmentPool::Finish(std::unique_ptr<File> file, const std::string& path,
                                 uint64_t generation) {
  MOKV_RETURN_IF_ERROR(file->WriteAt(0, EncodeSegmentHeader(generation)));
  // A file with a segment's name has a header that verifies.
  MOKV_RETURN_IF_ERROR(FinalError(file->Sync()));
  MOKV_RETURN_IF_ERROR(files_.Rename(path, PathOf(SegmentName(generation))));
  MOKV_RETURN_IF_ERROR(FinalError(directory_->Sync()));
  MOKV_ASSIGN_OR_RETURN(const uint64_t capacity, file->Size());
  const MutexLock lock(mutex_);
  ready_.push_back({generation, std::move(file), capacity});
  work_bytes_ = 0;
  return absl::OkStatus();
}

absl::Status SegmentPool::status() const {
  const MutexLock lock(mutex_);
  return status_;
}

SegmentPool::Stats SegmentPool::stats() const {
  const MutexLock lock(mutex_);
  Stats stats = stats_;
  stats.ready_segments = ready_.size();
  for (const Segment& segment : ready_) {
    stats.ready_bytes += segment.capacity_bytes;
    stats.largest_ready_bytes = std::max(stats.largest_ready_bytes, segment.capacity_bytes);
  }
  stats.disk_bytes = stats.ready_bytes + BytesOf(retired_) + BytesOf(spares_) + work_bytes_;
  return stats;
}

}  // namespace mokv::wal
