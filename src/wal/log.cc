#include "wal/log.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/mutex.h"
#include "base/status.h"
#include "base/term_runs.h"
#include "wal/entry_index.h"
#include "wal/format.h"
#include "wal/log_scan.h"
#include "wal/queued_write.h"
#include "wal/read.h"
#include "wal/segment_pool.h"
#include "wal/segment_writer.h"
#include "wal/unsynced.h"

namespace mokv::wal {
namespace {

// A batch stops growing here, so that a long queue is not one long silence: later appends wait, but
// the first ones are acknowledged after a few milliseconds of writing.
constexpr uint64_t kBatchBytesGoal = uint64_t{8} << 20;
// A larger Append is written in pieces: what does not fit at the end of a segment is then small.
constexpr uint64_t kPieceBytesMax = uint64_t{1} << 20;
constexpr uint64_t kReserveBytesMax = uint64_t{1} << 20;
// Both are at most this part of a segment.
constexpr uint64_t kSmallPart = 8;
// Of an item besides its entries: batch header, truncation, hard state with a
// vote of likely size.
constexpr uint64_t kPieceOverheadBytes = kBatchHeaderBytes + 3 * kRecordHeaderBytes + 128;
// Of a segment: header, start, hard state with a vote of likely size.
constexpr uint64_t kSegmentOverheadBytes =
    kSegmentHeaderBytes + kBatchHeaderBytes + RecordBytes(kStartBodyBytes) + RecordBytes(128);
// Has room for its first batches.
constexpr uint64_t kSegmentBytesMin = 2048;
static_assert(kSegmentStartBytesMax + 2 * (kBatchHeaderBytes + RecordBytes(kVoteBytesMax)) <=
              kSegmentBytesMin);
constexpr Duration kRetryInterval = std::chrono::milliseconds(200);

constexpr std::string_view kLockName = "log.lock";

std::string ParentOf(const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  const size_t slash = end == std::string::npos ? 0 : path.rfind('/', end);
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

class SegmentedLog final : public Log {
 public:
  SegmentedLog(FileSystem& files, const Clock& clock, Executor& log_thread, Executor& background,
               Options options, Callbacks callbacks, std::unique_ptr<FileLock> lock,
               ScannedLog scanned)
      : files_(files),
        clock_(clock),
        log_thread_(log_thread),
        options_(std::move(options)),
        piece_bytes_max_(std::min(kPieceBytesMax, options_.segment_bytes / kSmallPart)),
        reserve_bytes_(std::min(kReserveBytesMax, options_.segment_bytes / kSmallPart)),
        found_(std::move(scanned.found)),
        lock_(std::move(lock)),
        terms_(scanned.terms),
        commit_(found_.hard_state.commit),
        last_hard_state_term_(found_.hard_state.term),
        index_(std::move(scanned.index)),
        pool_(files, background,
              {options_.directory, options_.segment_bytes, options_.ready_segments},
              std::move(scanned.pool), [this] { PostDrain(); }),
        callbacks_(std::move(callbacks)),
        head_(scanned.terms.base()),
        last_(scanned.terms.last()),
        hard_state_(found_.hard_state),
        segments_(scanned.segments.begin(), scanned.segments.end()),
        superfluous_(std::move(scanned.superfluous)),
        writer_(std::move(scanned.tail), scanned.end, scanned.tail_capacity_bytes) {
    const MutexLock lock_stats(mutex_);
    stats_.segments = found_.segments;
    stats_.cut_bytes = found_.cut_bytes;
  }

  // A new log gets its first segment before it opens; the others are prepared in the background.
  absl::Status PrepareSpace() {
    if (!writer_.has_segment() && pool_.stats().ready_segments == 0) {
      pool_.PrepareOne();
      MOKV_RETURN_IF_ERROR(pool_.stats().ready_segments > 0 ? absl::OkStatus() : pool_.status());
    }
    UpdateRoom();
    // On this thread's own until here: nothing may have been posted that looks at it.
    if (!superfluous_.empty()) SealHead(Ticket(0));
    {
      const MutexLock lock(mutex_);
      task_posted_ = false;
    }
    pool_.Start();
    PostDrain();
    return absl::OkStatus();
  }

  const FoundLog& found() const override { return found_; }
  Index first_index() const override { return terms_.first_index(); }
  Index last_index() const override { return terms_.last_index(); }
  std::optional<Term> TermAt(Index index) const override { return terms_.TermAt(index); }

  absl::Status Admit(const Demand& demand) const override;
  void Append(Ticket ticket, AppendRequest request) override;
  void CutHead(Ticket ticket, Index up_to) override;
  void ResetTo(Ticket ticket, Index last, Term last_term) override;
  ReadTask PrepareRead(Index first, uint64_t payload_bytes_max) override;
  void Tick() override;
  Stats stats() const override;
  void Close() override;

 private:
  // On the caller's thread.
  void Take(Ticket ticket);
  void AppendPieces(AppendRequest request);
  uint64_t AddPiece(const std::vector<Entry>& entries, size_t& end);
  void Enqueue(QueuedWrite item);

  void PostDrain();
  // On the log thread.
  void Drain();
  absl::Status WriteQueued();
  size_t EncodeBatch();
  absl::Status NextSegment(uint64_t bytes);
  void Publish(size_t items, Position start, Position end, bool starts_segment);
  void SealHead(Ticket ticket);
  void RetireSegments(EntryId sealed_head);
  void UpdateRoom();
  void Fail(const absl::Status& status);

  FileSystem& files_;
  const Clock& clock_;
  Executor& log_thread_;
  const Options options_;
  const uint64_t piece_bytes_max_;
  const uint64_t reserve_bytes_;
  const FoundLog found_;
  std::unique_ptr<FileLock> lock_;

  // Confined to the caller (the replica thread).
  TermRuns terms_;
  Index commit_;
  Term last_hard_state_term_;
  Ticket last_ticket_;    // Taken.
  Ticket before_ticket_;  // The one before that.
  UnsyncedEntries unsynced_;
  bool closed_ = false;

  // Between the threads.
  mutable Mutex mutex_;
  std::deque<QueuedWrite> queue_ ABSL_GUARDED_BY(mutex_);
  bool task_posted_ ABSL_GUARDED_BY(mutex_) = true;  // Until it is open.
  EntryIndex index_ ABSL_GUARDED_BY(mutex_);
  Stats stats_ ABSL_GUARDED_BY(mutex_);
  std::optional<MonotonicTime> last_retry_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> failed_{false};
  std::atomic<uint64_t> durable_ticket_{0};
  // What Admit looks at. Space that the log has, now and in ready segments; how many segments that
  // is, each of which may lose up to one item's size at its end.
  std::atomic<uint64_t> room_bytes_{0};
  std::atomic<uint64_t> room_segments_{0};
  std::atomic<uint64_t> queued_bytes_{0};        // Given and not yet durable.
  std::atomic<uint64_t> largest_item_bytes_{0};  // In the queue since it was last empty.
  std::atomic<bool> waiting_{false};             // Items wait for space.
  std::atomic<bool> out_of_space_{false};        // The pool has found none.
  std::optional<MonotonicTime> oldest_unsynced_ ABSL_GUARDED_BY(mutex_);

  SegmentPool pool_;

  // Confined to the log thread; to the caller once that has stopped.
  Callbacks callbacks_;
  std::deque<QueuedWrite> taken_;
  EntryId head_;
  EntryId last_;  // Of what is durable.
  HardState hard_state_;
  std::deque<LiveSegment> segments_;
  std::vector<uint64_t> superfluous_;  // Segments that the start had no use for.
  BatchBuilder batch_;
  SegmentWriter writer_;
};

absl::Status SegmentedLog::Admit(const Demand& demand) const {
  if (failed_.load()) return Unavailable("the log has failed");
  const uint64_t queued = queued_bytes_.load();
  if (queued >= options_.queue_bytes_max) {
    return ResourceExhausted("{} bytes wait for the log's disk already; limit {}", queued,
                             options_.queue_bytes_max);
  }
  const uint64_t payload = Aligned(demand.payload_bytes) + demand.entries * kAlignment;
  const uint64_t records = payload + demand.entries * kRecordHeaderBytes;
  const uint64_t bytes = records + (records / piece_bytes_max_ + 1) * kPieceOverheadBytes;
  // At the end of each segment up to one item's size is lost.
  const uint64_t largest = std::max({largest_item_bytes_.load(), piece_bytes_max_,
                                     demand.largest_payload_bytes + kPieceOverheadBytes});
  const uint64_t segments = room_segments_.load();
  const bool is_huge = largest > options_.segment_bytes / 2;
  const uint64_t needed = queued + bytes + reserve_bytes_ + segments * largest;
  // What is huge gets space of its own only when it comes.
  if (!waiting_.load() && (is_huge ? !out_of_space_.load() : needed <= room_bytes_.load())) {
    return absl::OkStatus();
  }
  if (out_of_space_.load()) {
    return ResourceExhausted("no space left for the log in {}", options_.directory);
  }
  return ResourceExhausted("the next segment of the log in {} is not ready yet",
                           options_.directory);
}

void SegmentedLog::Take(Ticket ticket) {
  MOKV_CHECK(!closed_);
  MOKV_CHECK_GT(ticket, last_ticket_);
  before_ticket_ = std::exchange(last_ticket_, ticket);
}

void SegmentedLog::Append(Ticket ticket, AppendRequest request) {
  Take(ticket);
  if (request.truncate_from == terms_.last_index().next()) request.truncate_from.reset();
  if (request.truncate_from.has_value()) {
    // A committed entry is never taken back.
    MOKV_CHECK_GT(*request.truncate_from, commit_);
    terms_.TruncateFrom(*request.truncate_from);
    unsynced_.TruncateFrom(*request.truncate_from);
  }
  if (request.hard_state.has_value()) {
    MOKV_CHECK_GE(request.hard_state->term, last_hard_state_term_);
    MOKV_CHECK_LE(request.hard_state->vote.size(), kVoteBytesMax);
    last_hard_state_term_ = request.hard_state->term;
  }
  unsynced_.Trim(Ticket(durable_ticket_.load(std::memory_order_acquire)));
  AppendPieces(std::move(request));
}

// One item, or several when there is much. The hard state goes with the first one too: entries of a
// term must not be there without it.
void SegmentedLog::AppendPieces(AppendRequest request) {
  if (request.hard_state.has_value()) commit_ = std::max(commit_, request.hard_state->commit);
  const auto entries = std::make_shared<const std::vector<Entry>>(std::move(request.entries));
  bool first = true;
  for (size_t next = 0; first || next < entries->size(); first = false) {
    QueuedWrite item;
    item.block = {entries, next, next};
    uint64_t bytes = AddPiece(*entries, item.block.end);
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
    item.bytes_max = kBatchHeaderBytes + bytes;
    Enqueue(std::move(item));
  }
}

// As many entries from `end` on, which is moved, as belong into one item; their bytes in the log.
uint64_t SegmentedLog::AddPiece(const std::vector<Entry>& entries, size_t& end) {
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
    if (bytes > 0 && bytes + more > piece_bytes_max_) break;
    if (entry.term != entries[run].term) add_run();
    MOKV_CHECK_EQ(entry.index, entries[run].index + (end - run));
    bytes += more;
  }
  add_run();
  return bytes;
}

void SegmentedLog::CutHead(Ticket ticket, Index up_to) {
  Take(ticket);
  MOKV_CHECK_LE(up_to, terms_.last_index());
  QueuedWrite item;
  item.ticket = ticket;
  item.bytes_max = kBatchHeaderBytes;
  if (up_to >= terms_.first_index()) {
    item.head = EntryId{up_to, *terms_.TermAt(up_to)};
    item.bytes_max += RecordBytes(0);
    terms_.CutThrough(*item.head);
  }
  Enqueue(std::move(item));
}

void SegmentedLog::ResetTo(Ticket ticket, Index last, Term last_term) {
  Take(ticket);
  MOKV_CHECK_LT(last, Index(UINT64_MAX));
  terms_ = TermRuns({last, last_term});
  unsynced_.Clear();
  QueuedWrite item;
  item.ticket = ticket;
  item.reset = EntryId{last, last_term};
  item.bytes_max = kBatchHeaderBytes + RecordBytes(0);
  Enqueue(std::move(item));
}

void SegmentedLog::Enqueue(QueuedWrite item) {
  item.last = terms_.last();
  const MonotonicTime now = clock_.Now();
  item.since = now;
  {
    const MutexLock lock(mutex_);
    if (failed_.load()) return;
    if (queued_bytes_.load() == 0) largest_item_bytes_.store(0);
    if (item.bytes_max > largest_item_bytes_.load()) largest_item_bytes_.store(item.bytes_max);
    queued_bytes_.fetch_add(item.bytes_max);
    if (!oldest_unsynced_.has_value()) oldest_unsynced_ = now;
    queue_.push_back(std::move(item));
  }
  PostDrain();
}

void SegmentedLog::PostDrain() {
  {
    const MutexLock lock(mutex_);
    if (std::exchange(task_posted_, true)) return;
  }
  log_thread_.Post([this] { Drain(); });
}

void SegmentedLog::Drain() {
  {
    const MutexLock lock(mutex_);
    task_posted_ = false;
    for (QueuedWrite& item : queue_) taken_.push_back(std::move(item));
    queue_.clear();
  }
  if (failed_.load()) return;
  absl::Status status = pool_.status();
  if (absl::IsResourceExhausted(status)) status = absl::OkStatus();
  UpdateRoom();
  while (status.ok() && !taken_.empty()) status = WriteQueued();
  // Space may come: the pool tells, or Tick tries again.
  waiting_.store(absl::IsResourceExhausted(status));
  if (!status.ok() && !absl::IsResourceExhausted(status)) Fail(status);
}

// Writes one batch, or starts the segment that it needs.
absl::Status SegmentedLog::WriteQueued() {
  const size_t items = EncodeBatch();
  if (items == 0) return NextSegment(taken_.front().bytes_max);
  const Position start = writer_.next_batch();
  if (batch_.record_count() == 0) {
    // Nothing that was given changes anything: it is as durable as what came before.
    Publish(items, start, start, false);
    return absl::OkStatus();
  }
  const bool starts_segment = !writer_.started();
  Duration sync_time{0};
  MOKV_RETURN_IF_ERROR(writer_.Write(batch_, clock_, sync_time));
  if (starts_segment) segments_.push_back({start.generation, last_.index.next()});
  Publish(items, start, writer_.end(), starts_segment);
  if (callbacks_.on_sync) callbacks_.on_sync(sync_time);
  return absl::OkStatus();
}

// Fills batch_ with as many items as fit, up to the goal; how many. Of several hard states only the
// last one matters: the batch is there as a whole or not at all.
size_t SegmentedLog::EncodeBatch() {
  const uint64_t room = writer_.room_bytes();
  const HardState* hard_state = nullptr;
  uint64_t used = kBatchHeaderBytes;
  size_t items = 0;
  batch_.Clear();
  for (; items < taken_.size(); ++items) {
    const QueuedWrite& item = taken_[items];
    used += item.bytes_max - kBatchHeaderBytes;
    if (used > room) break;
    if (items > 0 && (used > kBatchBytesGoal || item.begins_batch())) break;
    if (item.truncate_from.has_value()) batch_.AddTruncation(*item.truncate_from);
    if (item.reset.has_value()) batch_.AddReset(*item.reset);
    if (item.head.has_value()) batch_.AddHead(*item.head);
    for (size_t i = item.block.begin; i < item.block.end; ++i) {
      batch_.AddEntry((*item.block.entries)[i]);
    }
    if (item.hard_state.has_value()) hard_state = &*item.hard_state;
  }
  if (hard_state != nullptr) batch_.AddHardState(*hard_state);
  return items;
}

absl::Status SegmentedLog::NextSegment(uint64_t bytes) {
  if (writer_.started()) {
    std::optional<SegmentPool::Segment> segment = pool_.Take();
    if (!segment.has_value()) return ResourceExhausted("no segment is ready");
    writer_.Use(std::move(*segment), last_, head_, hard_state_);
  }
  // The log holds an item that no segment of the usual size has room for.
  if (writer_.room_bytes() < bytes) MOKV_RETURN_IF_ERROR(writer_.Extend(bytes));
  UpdateRoom();
  return absl::OkStatus();
}

// The first `items` of taken_ are durable, in a batch from `start` to `end`; the two are the same
// where there was nothing to request.
void SegmentedLog::Publish(size_t items, Position start, Position end, bool starts_segment) {
  uint64_t bytes = 0;
  uint64_t entries = 0;
  Index first_entry;
  bool head_moved = false;
  bool seals_head = false;
  // A cut in this very batch is not sealed by it.
  const EntryId sealed = head_;
  for (size_t i = 0; i < items; ++i) {
    QueuedWrite& item = taken_[i];
    bytes += item.bytes_max;
    entries += item.block.size();
    if (item.block.size() > 0 && first_entry == Index(0)) first_entry = item.block.front().index;
    if (item.hard_state.has_value()) hard_state_ = std::move(*item.hard_state);
    if (item.head.has_value()) head_ = *item.head;
    if (item.reset.has_value()) head_ = *item.reset;
    seals_head = seals_head || item.seals_head;
    head_moved = head_moved || item.head.has_value() || item.reset.has_value();
  }
  const QueuedWrite& first = taken_.front();
  const Durable durable{taken_[items - 1].ticket, taken_[items - 1].last.index,
                        taken_[items - 1].last.term};
  last_ = taken_[items - 1].last;
  {
    const MutexLock lock(mutex_);
    if (first.truncate_from.has_value()) index_.TruncateFrom(*first.truncate_from);
    if (first.reset.has_value()) index_.Clear();
    if (entries > 0) index_.Add(first_entry, last_.index, start, end.offset);
    if (head_moved) index_.CutHead(head_.index);
    if (end != start) ++stats_.batches;
    stats_.entries += entries;
    stats_.bytes += end.offset - start.offset;
    stats_.segments = segments_.size();
    oldest_unsynced_.reset();
    if (items < taken_.size()) {
      oldest_unsynced_ = taken_[items].since;
    } else if (!queue_.empty()) {
      oldest_unsynced_ = queue_.front().since;
    }
  }
  taken_.erase(taken_.begin(), taken_.begin() + static_cast<std::ptrdiff_t>(items));
  // In this order, so that Admit, which looks at both, never sees too much.
  UpdateRoom();
  queued_bytes_.fetch_sub(bytes);
  // After the index: whoever knows that it is durable finds it there.
  durable_ticket_.store(durable.ticket.value(), std::memory_order_release);
  if (seals_head && !starts_segment) RetireSegments(sealed);
  if (head_moved || (seals_head && starts_segment)) SealHead(durable.ticket);
  callbacks_.on_durable(durable);
}

// The very last batch of a log may be damaged and is then taken for a torn one, which leaves the
// log as it was before. What that consisted of must be there: files go only once one more batch is
// in the same segment as, or behind, the one that made them superfluous.
void SegmentedLog::SealHead(Ticket ticket) {
  QueuedWrite item;
  item.ticket = ticket;
  item.since = clock_.Now();
  item.hard_state = hard_state_;
  item.seals_head = true;
  item.last = last_;
  item.bytes_max = kBatchHeaderBytes + RecordBytes(hard_state_.vote.size());
  queued_bytes_.fetch_add(item.bytes_max);
  taken_.push_front(std::move(item));
}

// The last segment that begins at or before the first entry that is held is the first one needed.
void SegmentedLog::RetireSegments(EntryId sealed_head) {
  size_t needed = segments_.size() - 1;
  while (needed > 0 && segments_[needed].first_index > sealed_head.index.next()) --needed;
  std::vector<uint64_t> retired = std::exchange(superfluous_, {});
  for (; needed > 0; --needed) {
    retired.push_back(segments_.front().generation);
    segments_.pop_front();
  }
  pool_.Retire(retired);
  const MutexLock lock(mutex_);
  stats_.segments = segments_.size();
}

void SegmentedLog::UpdateRoom() {
  const SegmentPool::Stats pool = pool_.stats();
  const uint64_t overhead = pool.ready_segments * kSegmentOverheadBytes;
  const uint64_t ready = pool.ready_bytes > overhead ? pool.ready_bytes - overhead : 0;
  room_segments_.store(pool.ready_segments + 1);
  room_bytes_.store(writer_.room_bytes() + ready);
  out_of_space_.store(absl::IsResourceExhausted(pool_.status()));
}

void SegmentedLog::Fail(const absl::Status& status) {
  {
    const MutexLock lock(mutex_);
    failed_.store(true);
    queue_.clear();
  }
  taken_.clear();
  pool_.Stop();
  writer_.Close();
  callbacks_.on_failure(status);
}

Log::ReadTask SegmentedLog::PrepareRead(Index first, uint64_t payload_bytes_max) {
  if (first < terms_.first_index()) {
    return
        [status = absl::OutOfRangeError(fmt::format(
             "entry {} has been cut off; the log begins with {}", first, terms_.first_index()))] {
          return status;
        };
  }
  unsynced_.Trim(Ticket(durable_ticket_.load(std::memory_order_acquire)));
  const Index end = terms_.last_index().next();
  const Index files_end = std::min(unsynced_.first_index().value_or(end), end);
  ReadPlan plan{.first = first, .payload_bytes_max = payload_bytes_max};
  uint64_t bytes = 0;
  Index next = first;
  while (next < files_end && bytes <= payload_bytes_max) {
    const MutexLock lock(mutex_);
    std::optional<Extent> extent = index_.Find(next);
    MOKV_CHECK(extent.has_value());
    extent->last = std::min(extent->last, files_end - 1);
    // The first one may hold little from `first` on.
    if (!plan.extents.empty()) bytes += extent->end_offset - extent->start.offset;
    next = extent->last.next();
    plan.extents.push_back(*extent);
  }
  uint64_t left = payload_bytes_max;
  for (; next >= files_end && next < end; ++next) {
    const Entry& entry = unsynced_.At(next);
    if (!TakeBytes(entry.bytes().size(), plan.unsynced.empty(), left)) break;
    plan.unsynced.push_back(entry);
  }
  return [this, plan = std::move(plan)] { return ReadPlanned(files_, options_.directory, plan); };
}

void SegmentedLog::Tick() {
  if (!waiting_.load() && !out_of_space_.load()) return;
  const MonotonicTime now = clock_.Now();
  {
    const MutexLock lock(mutex_);
    if (last_retry_.has_value() && now - *last_retry_ < kRetryInterval) return;
    last_retry_ = now;
  }
  pool_.Retry();
  PostDrain();
}

Stats SegmentedLog::stats() const {
  const SegmentPool::Stats pool = pool_.stats();
  const MutexLock lock(mutex_);
  Stats stats = stats_;
  stats.filled_bytes = pool.filled_bytes;
  stats.segments_ready = pool.ready_segments;
  stats.segments_reused = pool.reused;
  stats.queued_bytes = queued_bytes_.load();
  stats.out_of_space = out_of_space_.load() || waiting_.load();
  if (oldest_unsynced_.has_value()) stats.oldest_unsynced = clock_.Now() - *oldest_unsynced_;
  return stats;
}

void SegmentedLog::Close() {
  MOKV_CHECK(!closed_);
  closed_ = true;
  Drain();
  // What the background executor would have done, as far as it is needed.
  while (!failed_.load() && !taken_.empty()) {
    const size_t before = taken_.size();
    pool_.PrepareOne();
    Drain();
    if (taken_.size() == before) {
      LogWarn("the log is closed without all that was given to it: there is no space",
              {{"directory", options_.directory}});
      break;
    }
  }
  pool_.Stop();
  writer_.Close();
  lock_.reset();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Log>> Log::Open(FileSystem& files, const Clock& clock,
                                               Executor& log_thread, Executor& background,
                                               Options options, Callbacks callbacks,
                                               OnEntry on_entry, OnCommitted on_committed) {
  MOKV_CHECK(callbacks.on_durable && callbacks.on_failure && on_entry);
  MOKV_CHECK_GE(options.segment_bytes, kSegmentBytesMin);
  MOKV_CHECK_GE(options.ready_segments, 1u);
  MOKV_RETURN_IF_ERROR(files.CreateDirectories(options.directory));
  MOKV_RETURN_IF_ERROR(files.SyncDirectory(ParentOf(options.directory)));
  MOKV_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock,
                        files.Lock(fmt::format("{}/{}", options.directory, kLockName)));
  MOKV_ASSIGN_OR_RETURN(ScannedLog scanned,
                        ScanLog(files, options.directory, on_entry, on_committed));
  auto log =
      std::make_unique<SegmentedLog>(files, clock, log_thread, background, std::move(options),
                                     std::move(callbacks), std::move(lock), std::move(scanned));
  MOKV_RETURN_IF_ERROR(log->PrepareSpace());
  return log;
}

}  // namespace mokv::wal
