// Space: what the log has room for, and so what may be appended.
//
// Threads: thread-safe. Each number has one writer, which its setter names.
#pragma once

#include <absl/status/status.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "wal/log.h"
#include "wal/segment_pool.h"

namespace mokv::wal {

class Space {
 public:
  explicit Space(const Options& options);

  // An Append is written in pieces of at most so many bytes, or of one entry: what does not fit at
  // the end of a segment is then small.
  uint64_t piece_bytes_max() const { return piece_bytes_max_; }

  // As Log::Admit, of a log that has not failed.
  absl::Status Admit(const Demand& demand) const;
  // The room that a segment must have so that this demand, when it is refused, is admitted once such
  // a segment is ready; 0 if the usual ones have enough.
  uint64_t SegmentRoomFor(const Demand& demand) const;

  // From the caller: an item of `bytes` goes to the queue.
  void OnQueued(uint64_t bytes);
  // From the log thread: an item of its own goes to the queue.
  void OnQueuedInside(uint64_t bytes) { queued_bytes_.fetch_add(bytes); }
  // From the log thread: items of `bytes` are durable. After SetRoom, see below.
  void OnDurable(uint64_t bytes) { queued_bytes_.fetch_sub(bytes); }
  // From the log thread: the current segment has room for `bytes` more, and these segments are
  // `ready`. `out_of_space`: there is no space to prepare as many as there should be.
  void SetRoom(uint64_t bytes, const SegmentPool::Stats& ready, bool out_of_space);
  // From the log thread: whether items wait for space.
  void SetWaiting(bool waiting) { waiting_.store(waiting); }

  uint64_t queued_bytes() const { return queued_bytes_.load(); }
  bool is_missing() const { return out_of_space_.load() || waiting_.load(); }
  // Whether what found no space is to be tried again now: not too often.
  bool RetryIsDue(MonotonicTime now);

 private:
  // What is admitted fits, together with all that waits already, a reserve for what is appended
  // without asking, and what is lost: at the end of each segment up to one item's size.
  //
  //   queued + demand + reserve + segments * largest item <= room
  //
  // Two things make that true although the numbers change one by one under the reader:
  // - When a batch becomes durable, room falls and queued falls. The log thread lowers room first,
  //   and Admit reads queued first, so that it may see too little space, and never too much.
  // - A segment that becomes ready, or is left with an unused end, changes room and segments at
  //   once: the two are one number.
  //
  // An item may be so large that few segments have room for it, or none. What is lost at the end of
  // each is then too much to say no for, so it is also enough if all fits into one segment:
  //
  //   queued + demand + reserve <= largest room
  struct Room {
    uint64_t bytes = 0;     // In the current segment and in those that are ready.
    uint64_t segments = 0;  // How many these are.
  };
  static uint64_t Packed(Room room);
  static Room Unpacked(uint64_t packed);
  // What the demand needs in segments.
  uint64_t BytesFor(const Demand& demand) const;

  const std::string directory_;
  const uint64_t segment_bytes_;
  const uint64_t queue_bytes_max_;
  const uint64_t piece_bytes_max_;
  const uint64_t reserve_bytes_;

  std::atomic<uint64_t> room_{0};                // Packed.
  std::atomic<uint64_t> largest_room_{0};        // In any one of these segments.
  std::atomic<uint64_t> queued_bytes_{0};        // Given and not yet durable.
  std::atomic<uint64_t> largest_item_bytes_{0};  // In the queue since it was last empty.
  std::atomic<bool> waiting_{false};
  std::atomic<bool> out_of_space_{false};

  Mutex mutex_;
  std::optional<MonotonicTime> last_retry_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mokv::wal
