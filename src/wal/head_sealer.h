// HeadSealer: which segments the log consists of, and when the segments go that a cut of the head,
// or a reset, has made superfluous.
//
// The very last batch of a log may be damaged. It is then taken for a torn one, and the log is as
// it was before that batch; the segments of that log must still be there. So segments go only once
// one more batch, the seal, follows the one that made them superfluous, in the same segment or a
// later one.
//
// Threads: confined to the log thread. Owner: borrows the pool, which gets what goes.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "base/log_entry.h"
#include "wal/log_scan.h"
#include "wal/queued_write.h"
#include "wal/segment_pool.h"

namespace mokv::wal {

class HeadSealer {
 public:
  // `superfluous`: segments that the start had no use for.
  HeadSealer(SegmentPool& pool, const std::vector<LiveSegment>& segments,
             std::vector<SegmentPool::UnusedFile> superfluous)
      : pool_(pool),
        segments_(segments.begin(), segments.end()),
        superfluous_(std::move(superfluous)) {}

  uint64_t segment_count() const { return segments_.size(); }
  // Of those and of what is superfluous.
  uint64_t disk_bytes() const;
  // Whether a seal is to be written as the log opens.
  bool has_superfluous() const { return !superfluous_.empty(); }

  // A batch that is durable.
  struct Batch {
    EntryId head_before;  // What had been cut off before it: a batch does not seal its own cut.
    bool starts_segment = false;  // It is the first of its segment, besides the start.
    bool moves_head = false;
    bool is_seal = false;
  };
  void OnSegmentStarted(LiveSegment segment) { segments_.push_back(segment); }
  // Whether a seal is to be written next.
  bool OnBatch(const Batch& batch);

  // Changes nothing: repeats the hard state, behind entry `last`.
  static QueuedWrite Seal(Ticket ticket, const HardState& hard_state, EntryId last,
                          MonotonicTime now);

 private:
  void Retire(EntryId sealed_head);

  SegmentPool& pool_;
  std::deque<LiveSegment> segments_;  // In order; the last one is written to.
  std::vector<SegmentPool::UnusedFile> superfluous_;
};

}  // namespace mokv::wal
