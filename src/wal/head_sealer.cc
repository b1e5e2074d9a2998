#include "wal/head_sealer.h"

#include "base/check.h"
#include "wal/format.h"

namespace mokv::wal {

bool HeadSealer::OnBatch(const Batch& batch) {
  if (batch.is_seal && !batch.starts_segment) Retire(batch.head_before);
  // A seal that begins a segment may be lost together with the segment's start.
  return batch.moves_head || (batch.is_seal && batch.starts_segment);
}

// The last segment that begins at or before the first entry that is held is the first one needed.
void HeadSealer::Retire(EntryId sealed_head) {
  MOKV_CHECK(!segments_.empty());
  size_t needed = segments_.size() - 1;
  while (needed > 0 && segments_[needed].first_index > sealed_head.index.next()) --needed;
  std::vector<SegmentPool::UnusedFile> retired = std::exchange(superfluous_, {});
  for (; needed > 0; --needed) {
    retired.push_back({segments_.front().generation, segments_.front().size_bytes});
    segments_.pop_front();
  }
  pool_.Retire(retired);
}

uint64_t HeadSealer::disk_bytes() const {
  uint64_t bytes = 0;
  for (const LiveSegment& segment : segments_) bytes += segment.size_bytes;
  for (const SegmentPool::UnusedFile& file : superfluous_) bytes += file.size_bytes;
  return bytes;
}

QueuedWrite HeadSealer::Seal(Ticket ticket, const HardState& hard_state, EntryId last,
                             MonotonicTime now) {
  QueuedWrite item;
  item.ticket = ticket;
  item.since = now;
  item.hard_state = hard_state;
  item.seals_head = true;
  item.last = last;
  item.bytes_max = kBatchHeaderBytes + RecordBytes(hard_state.vote.size());
  return item;
}

}  // namespace mokv::wal
