// Wiring: what the log consists of, and which part answers what.
#include "wal/log.h"

#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"
#include "wal/append_side.h"
#include "wal/batch_writer.h"
#include "wal/format.h"
#include "wal/head_sealer.h"
#include "wal/log_scan.h"
#include "wal/read.h"
#include "wal/segment_pool.h"
#include "wal/segment_writer.h"
#include "wal/space.h"
#include "wal/synced_log.h"
#include "wal/write_queue.h"

namespace mokv::wal {
namespace {

// Has room for its first batches.
constexpr uint64_t kSegmentBytesMin = 2048;
static_assert(kSegmentStartBytesMax + 2 * (kBatchHeaderBytes + RecordBytes(kVoteBytesMax)) <=
              kSegmentBytesMin);

constexpr std::string_view kLockName = "log.lock";

std::string ParentOf(const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  const size_t slash = end == std::string::npos ? 0 : path.rfind('/', end);
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

struct Log::Parts {
  Parts(FileSystem& file_system, const Clock& the_clock, Executor& log_thread, Executor& background,
        Options log_options, Callbacks callbacks, std::unique_ptr<FileLock> directory_lock,
        std::unique_ptr<OpenedDirectory> directory, ScannedLog scanned)
      : files(file_system),
        clock(the_clock),
        options(std::move(log_options)),
        found(std::move(scanned.found)),
        lock(std::move(directory_lock)),
        space(options),
        queue(log_thread, [this] { batch_writer.Drain(); }),
        synced(std::move(scanned.index)),
        pool(files, std::move(directory), background,
             {options.directory, options.segment_bytes, options.ready_segments},
             std::move(scanned.pool), [this] { queue.PostDrain(); }),
        append_side(clock, space, queue, synced, scanned.terms, found.hard_state),
        batch_writer(
            {.clock = clock, .space = space, .queue = queue, .synced = synced, .pool = pool},
            std::move(callbacks),
            {.head = scanned.terms.base(),
             .last = scanned.terms.last(),
             .hard_state = found.hard_state},
            SegmentWriter(std::move(scanned.tail), scanned.end, scanned.tail_capacity_bytes),
            HeadSealer(pool, scanned.segments, std::move(scanned.superfluous))) {}

  FileSystem& files;
  const Clock& clock;
  const Options options;
  const FoundLog found;
  std::unique_ptr<FileLock> lock;

  // Between the threads.
  Space space;
  WriteQueue queue;
  SyncedLog synced;
  SegmentPool pool;

  // The caller's thread.
  AppendSide append_side;
  bool closed = false;

  // The log thread.
  BatchWriter batch_writer;
};

absl::StatusOr<std::unique_ptr<Log>> Log::Open(FileSystem& files, const Clock& clock,
                                               Executor& log_thread, Executor& background,
                                               Options options, Callbacks callbacks,
                                               OnEntry on_entry, OnCommitted on_committed,
                                               OnFound on_found) {
  MOKV_CHECK(callbacks.on_durable && callbacks.on_failure && on_entry);
  MOKV_CHECK_GE(options.segment_bytes, kSegmentBytesMin);
  MOKV_CHECK_GE(options.ready_segments, 1u);
  MOKV_RETURN_IF_ERROR(files.CreateDirectories(options.directory));
  MOKV_RETURN_IF_ERROR(files.SyncDirectory(ParentOf(options.directory)));
  MOKV_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock,
                        files.Lock(fmt::format("{}/{}", options.directory, kLockName)));
  MOKV_ASSIGN_OR_RETURN(std::unique_ptr<OpenedDirectory> directory,
                        files.OpenDirectory(options.directory));
  MOKV_ASSIGN_OR_RETURN(ScannedLog scanned,
                        ScanLog(files, options.directory, on_entry, on_committed));
  if (on_found) MOKV_RETURN_IF_ERROR(on_found(scanned.found));
  auto parts = std::make_unique<Parts>(files, clock, log_thread, background, std::move(options),
                                       std::move(callbacks), std::move(lock), std::move(directory),
                                       std::move(scanned));
  // Until here all is done on this thread: a log that does not open must not have posted anything.
  MOKV_RETURN_IF_ERROR(parts->batch_writer.Start());
  parts->queue.Open();
  parts->pool.Start();
  parts->queue.PostDrain();
  return std::unique_ptr<Log>(new Log(std::move(parts)));
}

Log::Log(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Log::~Log() = default;

const FoundLog& Log::found() const { return parts_->found; }
Index Log::first_index() const { return parts_->append_side.first_index(); }
Index Log::last_index() const { return parts_->append_side.last_index(); }
std::optional<Term> Log::TermAt(Index index) const { return parts_->append_side.TermAt(index); }

absl::Status Log::Admit(const Demand& demand) const {
  if (parts_->queue.failed()) return Unavailable("the log has failed");
  absl::Status status = parts_->space.Admit(demand);
  if (status.ok()) return status;
  if (const uint64_t room = parts_->space.SegmentRoomFor(demand)) parts_->pool.Want(room);
  return status;
}

void Log::Append(Ticket ticket, AppendRequest request) {
  MOKV_CHECK(!parts_->closed);
  parts_->append_side.Append(ticket, std::move(request));
}

void Log::CutHead(Ticket ticket, Index up_to) {
  MOKV_CHECK(!parts_->closed);
  parts_->append_side.CutHead(ticket, up_to);
}

void Log::ResetTo(Ticket ticket, Index last, Term last_term) {
  MOKV_CHECK(!parts_->closed);
  parts_->append_side.ResetTo(ticket, last, last_term);
}

Log::ReadTask Log::PrepareRead(Index first, uint64_t payload_bytes_max) {
  return [parts = parts_.get(),
          plan = parts_->append_side.PlanRead(
              first, payload_bytes_max)]() -> absl::StatusOr<std::vector<Entry>> {
    if (!plan.ok()) return plan.status();
    return ReadPlanned(parts->files, parts->options.directory, *plan);
  };
}

void Log::Tick() {
  if (!parts_->space.RetryIsDue(parts_->clock.Now())) return;
  parts_->pool.Retry();
  parts_->queue.PostDrain();
}

Stats Log::stats() const {
  const SyncedLog::Counts counts = parts_->synced.counts();
  const SegmentPool::Stats pool = parts_->pool.stats();
  Stats stats{.batches = counts.batches,
              .entries = counts.entries,
              .bytes = counts.bytes,
              .filled_bytes = pool.filled_bytes,
              .segments = parts_->synced.segments(),
              .segments_bytes = parts_->synced.disk_bytes(),
              .segments_ready = pool.ready_segments,
              .segments_reused = pool.reused,
              .disk_bytes = parts_->synced.disk_bytes() + pool.disk_bytes,
              .cut_bytes = parts_->found.cut_bytes,
              .queued_bytes = parts_->space.queued_bytes(),
              .out_of_space = parts_->space.is_missing()};
  if (const std::optional<MonotonicTime> oldest = parts_->queue.oldest_unsynced()) {
    stats.oldest_unsynced = parts_->clock.Now() - *oldest;
  }
  return stats;
}

void Log::Close() {
  MOKV_CHECK(!parts_->closed);
  parts_->closed = true;
  if (!parts_->batch_writer.Finish()) {
    LogWarn("the log is closed without all that was given to it: there is no space",
            {{"directory", parts_->options.directory}});
  }
  parts_->lock.reset();
}

}  // namespace mokv::wal
