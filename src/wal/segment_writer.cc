#include "wal/segment_writer.h"

#include "base/check.h"
#include "base/status.h"

namespace mokv::wal {

uint64_t SegmentWriter::room_bytes() const {
  if (file_ == nullptr) return 0;
  const uint64_t used = next_batch().offset;
  return capacity_bytes_ > used ? capacity_bytes_ - used : 0;
}

void SegmentWriter::Use(SegmentPool::Segment segment, EntryId previous, EntryId head,
                        const HardState& hard_state) {
  MOKV_CHECK(started());
  MOKV_CHECK_GT(segment.generation, durable_.generation);
  file_ = std::move(segment.file);
  write_at_ = {segment.generation, kSegmentHeaderBytes};
  capacity_bytes_ = segment.capacity_bytes;
  BatchBuilder batch;
  batch.AddStart({.previous = previous, .previous_end = durable_, .head = head});
  // Repeated, so that the segments before can go without losing it.
  batch.AddHardState(hard_state);
  start_ = batch.Finish(write_at_, durable_);
}

SegmentPool::UnusedFile SegmentWriter::Abandon() {
  MOKV_CHECK(!started());
  file_.reset();
  start_.clear();
  return {write_at_.generation, capacity_bytes_};
}

absl::Status SegmentWriter::Extend(uint64_t bytes) {
  MOKV_CHECK(!started());
  const uint64_t capacity = next_batch().offset + bytes;
  MOKV_RETURN_IF_ERROR(file_->Preallocate(capacity));
  capacity_bytes_ = capacity;
  return absl::OkStatus();
}

absl::Status SegmentWriter::Write(BatchBuilder& batch, const Clock& clock, Duration& sync_time) {
  const Position at = next_batch();
  const uint64_t size = batch.size_bytes();
  MOKV_CHECK_LE(size, room_bytes());
  // The two writes need no sync between them: a batch counts only if those before it are there.
  if (!start_.empty()) MOKV_RETURN_IF_ERROR(file_->WriteAt(write_at_.offset, start_));
  MOKV_RETURN_IF_ERROR(file_->WriteAt(at.offset, batch.Finish(at, durable_, room_bytes() - size)));
  const MonotonicTime before = clock.Now();
  MOKV_RETURN_IF_ERROR(FinalError(file_->Sync()));
  sync_time = clock.Now() - before;
  start_.clear();
  write_at_ = {at.generation, at.offset + size};
  durable_ = write_at_;
  return absl::OkStatus();
}

}  // namespace mokv::wal
