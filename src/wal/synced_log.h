// SyncedLog: what of the log is on disk, as the log thread tells the others: where its entries are,
// up to which ticket it is durable, and counts of all that was written.
//
// Threads: thread-safe; Add, SetDurable and SetFiles come from the log thread.
// Bounds:  as EntryIndex.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "wal/entry_index.h"
#include "wal/format.h"
#include "wal/log.h"

namespace mokv::wal {

// What a batch that is durable changed, in this order.
struct SyncedBatch {
  std::optional<Index> truncate_from;
  bool reset = false;
  uint64_t entries = 0;
  Index first;  // Of the entries, if there are any.
  Index last;
  std::optional<Index> head;
  // Where it stands. From `start` to itself: there was nothing to write.
  Position start;
  uint64_t end_offset = 0;
};

class SyncedLog {
 public:
  struct Counts {
    uint64_t batches = 0;
    uint64_t entries = 0;
    uint64_t bytes = 0;
  };

  explicit SyncedLog(EntryIndex index) : index_(std::move(index)) {}

  void Add(const SyncedBatch& batch) {
    const MutexLock lock(mutex_);
    if (batch.truncate_from.has_value()) index_.TruncateFrom(*batch.truncate_from);
    if (batch.reset) index_.Clear();
    if (batch.entries > 0) index_.Add(batch.first, batch.last, batch.start, batch.end_offset);
    if (batch.head.has_value()) index_.CutHead(*batch.head);
    if (batch.end_offset > batch.start.offset) ++counts_.batches;
    counts_.entries += batch.entries;
    counts_.bytes += batch.end_offset - batch.start.offset;
  }
  // After Add: whoever knows that an entry is durable finds it.
  void SetDurable(Ticket ticket) { durable_.store(ticket.value(), std::memory_order_release); }
  // How many segments the log consists of, and the bytes of all files that are not the pool's.
  void SetFiles(uint64_t segments, uint64_t bytes) {
    segments_.store(segments);
    disk_bytes_.store(bytes);
  }

  Ticket durable() const { return Ticket(durable_.load(std::memory_order_acquire)); }
  uint64_t segments() const { return segments_.load(); }
  uint64_t disk_bytes() const { return disk_bytes_.load(); }
  // Where to read the entry.
  std::optional<Extent> Find(Index index) const {
    const MutexLock lock(mutex_);
    return index_.Find(index);
  }
  Counts counts() const {
    const MutexLock lock(mutex_);
    return counts_;
  }

 private:
  std::atomic<uint64_t> durable_{0};
  std::atomic<uint64_t> segments_{0};
  std::atomic<uint64_t> disk_bytes_{0};
  mutable Mutex mutex_;
  EntryIndex index_ ABSL_GUARDED_BY(mutex_);
  Counts counts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mokv::wal
