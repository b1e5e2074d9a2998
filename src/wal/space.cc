#include "wal/space.h"

#include <algorithm>

#include "base/status.h"
#include "wal/format.h"

namespace mokv::wal {
namespace {

constexpr uint64_t kPieceBytesMax = uint64_t{1} << 20;
constexpr uint64_t kReserveBytesMax = uint64_t{1} << 20;
// Both are at most this part of a segment.
constexpr uint64_t kSmallPart = 8;
// Of an item besides its entries: batch header, truncation, hard state with a vote of likely size.
constexpr uint64_t kPieceOverheadBytes = kBatchHeaderBytes + 3 * kRecordHeaderBytes + 128;
constexpr Duration kRetryInterval = std::chrono::milliseconds(200);

// A larger room, in bytes or in segments, counts as this large: nothing ever needs more.
constexpr int kRoomBytesBits = 48;
constexpr uint64_t kRoomBytesMax = (uint64_t{1} << kRoomBytesBits) - 1;
constexpr uint64_t kRoomSegmentsMax = UINT64_MAX >> kRoomBytesBits;

}  // namespace

Space::Space(const Options& options)
    : directory_(options.directory),
      segment_bytes_(options.segment_bytes),
      queue_bytes_max_(options.queue_bytes_max),
      piece_bytes_max_(std::min(kPieceBytesMax, options.segment_bytes / kSmallPart)),
      reserve_bytes_(std::min(kReserveBytesMax, options.segment_bytes / kSmallPart)) {}

uint64_t Space::Packed(Room room) {
  return std::min(room.segments, kRoomSegmentsMax) << kRoomBytesBits |
         std::min(room.bytes, kRoomBytesMax);
}

Space::Room Space::Unpacked(uint64_t packed) {
  return {.bytes = packed & kRoomBytesMax, .segments = packed >> kRoomBytesBits};
}

absl::Status Space::Admit(const Demand& demand) const {
  const uint64_t queued = queued_bytes_.load();
  if (queued >= queue_bytes_max_) {
    return ResourceExhausted("{} bytes wait for the log's disk already; limit {}", queued,
                             queue_bytes_max_);
  }
  const uint64_t largest = std::max({largest_item_bytes_.load(), piece_bytes_max_,
                                     demand.largest_payload_bytes + kPieceOverheadBytes});
  const uint64_t needed = queued + BytesFor(demand) + reserve_bytes_;
  const Room room = Unpacked(room_.load());
  const bool fits =
      needed + room.segments * largest <= room.bytes || needed <= largest_room_.load();
  if (fits && !waiting_.load()) return absl::OkStatus();
  if (out_of_space_.load()) {
    return ResourceExhausted("no space left for the log in {}", directory_);
  }
  if (SegmentRoomFor(demand) > 0) {
    return ResourceExhausted("the log in {} has no segment ready with room for {} bytes",
                             directory_, demand.largest_payload_bytes);
  }
  return ResourceExhausted("the next segment of the log in {} is not ready yet", directory_);
}

uint64_t Space::BytesFor(const Demand& demand) const {
  const uint64_t payload = Aligned(demand.payload_bytes) + demand.entries * kAlignment;
  const uint64_t records = payload + demand.entries * kRecordHeaderBytes;
  return records + (records / piece_bytes_max_ + 1) * kPieceOverheadBytes;
}

uint64_t Space::SegmentRoomFor(const Demand& demand) const {
  Demand largest;
  largest.Add(demand.largest_payload_bytes);
  const uint64_t room = BytesFor(largest) + reserve_bytes_;
  if (room + kSegmentStartBytesMax <= segment_bytes_) return 0;
  // For what may be in the queue then.
  return room + std::min(queue_bytes_max_, segment_bytes_);
}

void Space::OnQueued(uint64_t bytes) {
  if (queued_bytes_.load() == 0) largest_item_bytes_.store(0);
  if (bytes > largest_item_bytes_.load()) largest_item_bytes_.store(bytes);
  queued_bytes_.fetch_add(bytes);
}

void Space::SetRoom(uint64_t bytes, const SegmentPool::Stats& ready, bool out_of_space) {
  const uint64_t overhead = ready.ready_segments * kSegmentStartBytesMax;
  const uint64_t ready_bytes = ready.ready_bytes > overhead ? ready.ready_bytes - overhead : 0;
  room_.store(Packed({.bytes = bytes + ready_bytes, .segments = ready.ready_segments + 1}));
  const uint64_t largest = ready.largest_ready_bytes;
  largest_room_.store(
      std::max(bytes, largest > kSegmentStartBytesMax ? largest - kSegmentStartBytesMax : 0));
  out_of_space_.store(out_of_space);
}

bool Space::RetryIsDue(MonotonicTime now) {
  if (!is_missing()) return false;
  const MutexLock lock(mutex_);
  if (last_retry_.has_value() && now - *last_retry_ < kRetryInterval) return false;
  last_retry_ = now;
  return true;
}

}  // namespace mokv::wal
