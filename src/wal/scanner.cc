#include "wal/scanner.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/status.h"

namespace mokv::wal {
namespace {

// Small enough to stay in a core's own cache between reading and checksumming.
constexpr uint64_t kWindowBytes = uint64_t{512} << 10;
constexpr uint64_t kPageBytes = 4096;

// Nearly all that was never written to is zero. The C library compares much faster than a loop.
bool AllZero(std::string_view bytes) {
  return bytes[0] == '\0' && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

// Says no to nearly all places, and fast.
bool MayBeginBatch(const char* bytes, uint64_t generation, uint64_t offset) {
  uint64_t place[2];
  std::memcpy(place, bytes + kBatchPlaceOffset, sizeof(place));
  return place[0] == generation && place[1] == offset;
}

}  // namespace

absl::Status SegmentScanner::Open(const File& file, Position start, uint64_t end) {
  MOKV_CHECK_EQ(start.offset % kAlignment, 0u);
  MOKV_ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  file_ = &file;
  generation_ = start.generation;
  offset_ = start.offset;
  end_ = std::min(size, end);
  window_start_ = window_end_ = 0;
  return absl::OkStatus();
}

// The bytes at [offset, offset + size_bytes), fewer where the scanned part ends.
absl::StatusOr<std::string_view> SegmentScanner::Window(uint64_t offset, uint64_t size_bytes) {
  if (offset >= end_) return std::string_view();
  size_bytes = std::min(size_bytes, end_ - offset);
  if (offset < window_start_ || offset + size_bytes > window_end_) {
    MOKV_RETURN_IF_ERROR(MoveWindow(offset, size_bytes));
    if (offset >= window_end_) return std::string_view();
  }
  return std::string_view(buffer_ + (offset - window_start_),
                          std::min(size_bytes, window_end_ - offset));
}

// Reads whole pages into whole pages, which is the fastest way for the kernel to copy them.
absl::Status SegmentScanner::MoveWindow(uint64_t offset, uint64_t size_bytes) {
  const uint64_t start = offset / kPageBytes * kPageBytes;
  const uint64_t kept_from = start - std::min(start, window_start_);
  const bool keeps = start >= window_start_ && start < window_end_;
  const uint64_t kept = keeps ? window_end_ - start : 0;
  const uint64_t needed = offset - start + size_bytes;
  if (needed > capacity_) {
    const uint64_t capacity =
        std::max(kWindowBytes, (needed + kPageBytes - 1) / kPageBytes * kPageBytes);
    auto larger = std::make_unique_for_overwrite<char[]>(capacity + kPageBytes);
    void* aligned = larger.get();
    size_t space = capacity + kPageBytes;
    MOKV_CHECK(std::align(kPageBytes, capacity, aligned, space) != nullptr);
    if (kept > 0) std::memcpy(aligned, buffer_ + kept_from, kept);
    buffer_ = static_cast<char*>(aligned);
    allocation_ = std::move(larger);
    capacity_ = capacity;
  } else if (kept > 0) {
    std::memmove(buffer_, buffer_ + kept_from, kept);
  }
  window_start_ = start;
  window_end_ = start + kept;
  const uint64_t wanted = std::min(capacity_ - kept, end_ - window_end_);
  MOKV_ASSIGN_OR_RETURN(const uint64_t got, file_->ReadInto(window_end_, {buffer_ + kept, wanted}));
  window_end_ += got;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Batch>> SegmentScanner::BatchAt(uint64_t offset) {
  const Position at{generation_, offset};
  std::string_view bytes = InWindow(offset, kBatchHeaderBytes);
  if (bytes.empty()) {
    MOKV_ASSIGN_OR_RETURN(bytes, Window(offset, kBatchHeaderBytes));
  }
  const std::optional<BatchHeader> header = DecodeBatchHeader(bytes, at);
  if (!header.has_value() || header->size_bytes > end_ - offset) return std::nullopt;
  bytes = InWindow(offset, header->size_bytes);
  if (bytes.empty()) {
    MOKV_ASSIGN_OR_RETURN(bytes, Window(offset, header->size_bytes));
  }
  if (bytes.size() < header->size_bytes || !BatchVerifies(*header, bytes, generation_)) {
    return std::nullopt;
  }
  return Batch{.offset = offset,
               .end_offset = offset + header->size_bytes,
               .record_count = header->record_count,
               .durable = header->durable,
               .records = bytes.substr(kBatchHeaderBytes)};
}

absl::StatusOr<std::optional<Batch>> SegmentScanner::Next() {
  MOKV_ASSIGN_OR_RETURN(std::optional<Batch> batch, BatchAt(offset_));
  if (batch.has_value()) offset_ = batch->end_offset;
  return batch;
}

absl::StatusOr<std::optional<Batch>> SegmentScanner::Search() {
  uint64_t offset = offset_;
  while (offset < end_) {
    MOKV_ASSIGN_OR_RETURN(const std::string_view bytes, Window(offset, kWindowBytes));
    if (bytes.size() < kBatchHeaderBytes) break;
    uint64_t i = 0;
    if (AllZero(bytes))
      i = (bytes.size() - kBatchHeaderBytes) / kAlignment * kAlignment + kAlignment;
    for (; i + kBatchHeaderBytes <= bytes.size(); i += kAlignment) {
      if (MayBeginBatch(bytes.data() + i, generation_, offset + i)) break;
    }
    offset += i;
    if (i + kBatchHeaderBytes > bytes.size()) continue;
    MOKV_ASSIGN_OR_RETURN(std::optional<Batch> batch, BatchAt(offset));
    if (batch.has_value()) {
      offset_ = batch->end_offset;
      return batch;
    }
    offset += kAlignment;
  }
  return std::nullopt;
}

}  // namespace mokv::wal
