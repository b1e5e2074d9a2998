#include "wal/log.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/check.h"
#include "base/mutex.h"
#include "base/status.h"
#include "wal/format.h"
#include "wal/recovery.h"
#include "wal/term_runs.h"

namespace mokv::wal {
namespace {

// A batch stops growing here, so that a long queue is not one long silence: later appends wait, but
// the first ones are acknowledged after a few milliseconds of writing.
constexpr uint64_t kBatchBytesGoal = uint64_t{8} << 20;

constexpr std::string_view kLockName = "log.lock";

std::string ParentOf(const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  const size_t slash = end == std::string::npos ? 0 : path.rfind('/', end);
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Bytes of the queue that an entry counts for.
uint64_t CostOf(const Entry& entry) { return kRecordHeaderBytes + entry.bytes().size(); }

class SegmentedLog final : public Log {
 public:
  SegmentedLog(FileSystem& files, const Clock& clock, Executor& log_thread, Options options,
               Callbacks callbacks, std::unique_ptr<FileLock> lock, RecoveredLog recovered)
      : files_(files),
        clock_(clock),
        log_thread_(log_thread),
        options_(std::move(options)),
        recovery_(std::move(recovered.recovery)),
        lock_(std::move(lock)),
        first_index_(recovery_.first_index),
        last_index_(recovery_.last_index),
        callbacks_(std::move(callbacks)),
        terms_(std::move(recovered.terms)),
        hard_state_(recovery_.hard_state),
        segment_(std::move(recovered.tail)),
        end_(recovered.end),
        capacity_bytes_(recovered.tail_capacity_bytes),
        next_generation_(recovered.next_generation) {
    stats_.segments = recovery_.segments;
    stats_.cut_bytes = recovery_.cut_bytes;
  }

  const Recovery& recovery() const override { return recovery_; }
  Index first_index() const override { return first_index_; }
  Index last_index() const override { return last_index_; }

  void Append(absl::Span<const Entry> entries, std::optional<HardState> hard_state) override;
  void TruncateFrom(Index index) override;
  void Close() override;

  bool CanAppend() const override {
    return queued_bytes_.load(std::memory_order_relaxed) < options_.queue_bytes_max;
  }

  Stats stats() const override {
    const MutexLock lock(mutex_);
    return stats_;
  }

 private:
  // What one Append gave. It is written whole, in one batch: hard state and entries of one turn of
  // Raft rely on each other.
  struct Item {
    std::optional<Index> truncate_from;
    size_t entries_end = 0;  // In Queue::entries; they start where those of the item before end.
    std::optional<HardState> hard_state;
    uint64_t bytes = 0;
  };
  struct Queue {
    std::vector<Item> items;
    std::vector<Entry> entries;

    void Clear() {
      items.clear();
      entries.clear();
    }
  };
  // A part of taken_ that becomes one batch.
  struct Range {
    size_t item_begin = 0;
    size_t item_end = 0;
    size_t entry_begin = 0;
    size_t entry_end = 0;
  };

  void Enqueue(Item item, absl::Span<const Entry> entries);
  void Drain();
  Range EncodeFrom(size_t item_begin, size_t entry_begin);
  absl::Status WriteBatch(const Range& range);
  absl::Status StartSegment();
  void Remember(const Range& range);
  void Fail(const absl::Status& status);

  FileSystem& files_;
  const Clock& clock_;
  Executor& log_thread_;
  const Options options_;
  const Recovery recovery_;
  std::unique_ptr<FileLock> lock_;

  // Confined to the caller (the replica thread).
  const Index first_index_;
  Index last_index_;
  std::optional<Index> truncate_from_;  // Goes with the next append.
  bool closed_ = false;

  // Between the two.
  mutable Mutex mutex_;
  Queue queue_ ABSL_GUARDED_BY(mutex_);
  bool task_posted_ ABSL_GUARDED_BY(mutex_) = false;
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;
  Stats stats_ ABSL_GUARDED_BY(mutex_);
  std::atomic<uint64_t> queued_bytes_{0};  // Given and not yet durable.

  // Confined to the log thread; to the caller once that has stopped.
  Callbacks callbacks_;
  Queue taken_;  // Swapped with queue_, so that both keep their memory.
  BatchBuilder batch_;
  TermRuns terms_;
  HardState hard_state_;
  std::unique_ptr<File> segment_;
  Position end_;  // The log is durable up to here.
  uint64_t capacity_bytes_;
  uint64_t next_generation_;
};

void SegmentedLog::Append(absl::Span<const Entry> entries, std::optional<HardState> hard_state) {
  MOKV_CHECK(!closed_);
  if (entries.empty() && !hard_state.has_value()) return;
  for (const Entry& entry : entries) {
    MOKV_CHECK_EQ(entry.index, last_index_.next());
    last_index_ = entry.index;
  }
  Item item;
  item.truncate_from = std::exchange(truncate_from_, std::nullopt);
  item.hard_state = std::move(hard_state);
  Enqueue(std::move(item), entries);
}

void SegmentedLog::TruncateFrom(Index index) {
  MOKV_CHECK(!closed_);
  MOKV_CHECK_GE(index, first_index_);
  MOKV_CHECK_LE(index, last_index_.next());
  if (index == last_index_.next()) return;
  // It can wait: until something is written after the cut, a crash before it changes nothing.
  truncate_from_ = truncate_from_.has_value() ? std::min(*truncate_from_, index) : index;
  last_index_ = index - 1;
}

void SegmentedLog::Enqueue(Item item, absl::Span<const Entry> entries) {
  item.bytes = kRecordHeaderBytes;
  for (const Entry& entry : entries) item.bytes += CostOf(entry);
  bool post = false;
  {
    const MutexLock lock(mutex_);
    if (failed_) return;
    queue_.entries.insert(queue_.entries.end(), entries.begin(), entries.end());
    item.entries_end = queue_.entries.size();
    queued_bytes_.fetch_add(item.bytes, std::memory_order_relaxed);
    queue_.items.push_back(std::move(item));
    post = !std::exchange(task_posted_, true);
  }
  if (post) log_thread_.Post([this] { Drain(); });
}

void SegmentedLog::Drain() {
  {
    const MutexLock lock(mutex_);
    task_posted_ = false;
    if (failed_) return;
    std::swap(queue_, taken_);
  }
  Range range;
  while (range.item_end < taken_.items.size()) {
    range = EncodeFrom(range.item_end, range.entry_end);
    if (absl::Status status = WriteBatch(range); !status.ok()) {
      Fail(status);
      return;
    }
    Remember(range);
    callbacks_.on_durable(terms_.last_index(), terms_.last_term());
  }
  taken_.Clear();
}

// Fills batch_ with the items from `item_begin` on, up to the goal. Of several hard states only the
// last one matters: the batch is there as a whole or not at all.
SegmentedLog::Range SegmentedLog::EncodeFrom(size_t item_begin, size_t entry_begin) {
  Range range{item_begin, item_begin, entry_begin, entry_begin};
  const HardState* hard_state = nullptr;
  batch_.Clear();
  while (range.item_end < taken_.items.size()) {
    const Item& item = taken_.items[range.item_end];
    if (range.item_end > item_begin && batch_.size_bytes() + item.bytes > kBatchBytesGoal) break;
    if (item.truncate_from.has_value()) batch_.AddTruncation(*item.truncate_from);
    for (; range.entry_end < item.entries_end; ++range.entry_end) {
      batch_.AddEntry(taken_.entries[range.entry_end]);
    }
    if (item.hard_state.has_value()) hard_state = &*item.hard_state;
    ++range.item_end;
  }
  if (hard_state != nullptr) {
    MOKV_CHECK_GE(hard_state->term, hard_state_.term);
    hard_state_ = *hard_state;
    batch_.AddHardState(hard_state_);
  } else if (end_.offset + batch_.size_bytes() > capacity_bytes_) {
    // The first batch of a segment repeats the hard state, so that the segments before it can be
    // removed one day.
    batch_.AddHardState(hard_state_);
  }
  return range;
}

absl::Status SegmentedLog::WriteBatch(const Range& range) {
  if (end_.offset + batch_.size_bytes() > capacity_bytes_) MOKV_RETURN_IF_ERROR(StartSegment());
  const Position start = end_;
  const std::string_view bytes = batch_.Finish(start, end_);
  MOKV_RETURN_IF_ERROR(segment_->WriteAt(start.offset, bytes));
  const MonotonicTime before = clock_.Now();
  MOKV_RETURN_IF_ERROR(segment_->Sync());
  if (callbacks_.on_sync) callbacks_.on_sync(clock_.Now() - before);
  end_.offset += bytes.size();
  const MutexLock lock(mutex_);
  ++stats_.batches;
  stats_.entries += range.entry_end - range.entry_begin;
  stats_.bytes += bytes.size();
  return absl::OkStatus();
}

absl::Status SegmentedLog::StartSegment() {
  const SegmentHeader header{.generation = next_generation_,
                             .first_index = terms_.last_index().next(),
                             .previous_term = terms_.last_term(),
                             .previous_end = end_};
  segment_.reset();
  const std::string path = fmt::format("{}/{}", options_.directory, SegmentName(header.generation));
  MOKV_ASSIGN_OR_RETURN(segment_, files_.Open(path, FileSystem::OpenMode::kCreateNew));
  const uint64_t capacity =
      std::max(options_.segment_bytes, kSegmentHeaderBytes + batch_.size_bytes());
  MOKV_RETURN_IF_ERROR(segment_->Preallocate(capacity));
  MOKV_RETURN_IF_ERROR(segment_->WriteAt(0, EncodeSegmentHeader(header)));
  // On its own, before any batch: recovery takes a segment with a broken header and nothing behind
  // it for one that was never used, and a segment with a header for proof that those before it were
  // durable up to their ends.
  MOKV_RETURN_IF_ERROR(segment_->Sync());
  MOKV_RETURN_IF_ERROR(files_.SyncDirectory(options_.directory));
  ++next_generation_;
  end_ = {.generation = header.generation, .offset = kSegmentHeaderBytes};
  capacity_bytes_ = capacity;
  const MutexLock lock(mutex_);
  ++stats_.segments;
  return absl::OkStatus();
}

// The batch made of `range` is durable.
void SegmentedLog::Remember(const Range& range) {
  uint64_t bytes = 0;
  size_t entry = range.entry_begin;
  for (size_t i = range.item_begin; i < range.item_end; ++i) {
    const Item& item = taken_.items[i];
    if (item.truncate_from.has_value()) terms_.TruncateFrom(*item.truncate_from);
    for (; entry < item.entries_end; ++entry) {
      terms_.Append(taken_.entries[entry].index, taken_.entries[entry].term);
    }
    bytes += item.bytes;
  }
  queued_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
}

void SegmentedLog::Fail(const absl::Status& status) {
  {
    const MutexLock lock(mutex_);
    failed_ = true;
    queue_.Clear();
    queued_bytes_.store(UINT64_MAX, std::memory_order_relaxed);  // CanAppend: never again.
  }
  taken_.Clear();
  segment_.reset();
  callbacks_.on_failure(status);
}

void SegmentedLog::Close() {
  MOKV_CHECK(!closed_);
  if (truncate_from_.has_value()) {
    Item item;
    item.truncate_from = truncate_from_;
    Enqueue(std::move(item), {});
  }
  closed_ = true;
  Drain();
  segment_.reset();
  lock_.reset();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Log>> Log::Open(FileSystem& files, const Clock& clock,
                                               Executor& log_thread, Options options,
                                               Callbacks callbacks,
                                               absl::AnyInvocable<absl::Status(Entry)> on_entry) {
  MOKV_CHECK(callbacks.on_durable && callbacks.on_failure && on_entry);
  MOKV_RETURN_IF_ERROR(files.CreateDirectories(options.directory));
  MOKV_RETURN_IF_ERROR(files.SyncDirectory(ParentOf(options.directory)));
  MOKV_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock,
                        files.Lock(fmt::format("{}/{}", options.directory, kLockName)));
  MOKV_ASSIGN_OR_RETURN(RecoveredLog recovered, RecoverLog(files, options.directory, on_entry));
  return std::make_unique<SegmentedLog>(files, clock, log_thread, std::move(options),
                                        std::move(callbacks), std::move(lock),
                                        std::move(recovered));
}

}  // namespace mokv::wal
