// SegmentScanner: walks the batches of one segment file through a window of bounded size, and looks
// for batches behind damage.
//
// Threads: confined to one; the file may be written behind the scanned part meanwhile.
// Memory:  the window, which grows to the largest batch met and is kept from segment to segment.
// Errors:  only of reading; what does not verify is an answer, not an error.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/file.h"
#include "wal/format.h"

namespace mokv::wal {

class SegmentScanner {
 public:
  // From now on reads `file` from `start` to the offset `end` at most; borrows it.
  absl::Status Open(const File& file, Position start, uint64_t end);

  // Where the next batch is expected: behind the last one that was returned.
  uint64_t offset() const { return offset_; }

  // The batch at offset(), which then moves behind it; nothing when none verifies there. The
  // batch's bytes are valid until the next call.
  absl::StatusOr<std::optional<Batch>> Next();
  // The first batch that verifies at or behind offset(), wherever it begins; nothing when there is
  // none up to the end.
  absl::StatusOr<std::optional<Batch>> Search();
  // Up to `size_bytes` from offset() on.
  absl::StatusOr<std::string_view> Peek(uint64_t size_bytes) { return Window(offset_, size_bytes); }

 private:
  // All of the bytes, if they are there without reading; else none.
  std::string_view InWindow(uint64_t offset, uint64_t size_bytes) const {
    if (offset < window_start_ || offset + size_bytes > window_end_) return {};
    return {buffer_ + (offset - window_start_), size_bytes};
  }
  absl::StatusOr<std::string_view> Window(uint64_t offset, uint64_t size_bytes);
  absl::Status MoveWindow(uint64_t offset, uint64_t size_bytes);
  absl::StatusOr<std::optional<Batch>> BatchAt(uint64_t offset);

  const File* file_ = nullptr;
  uint64_t generation_ = 0;
  uint64_t offset_ = 0;
  uint64_t end_ = 0;

  std::unique_ptr<char[]> allocation_;
  char* buffer_ = nullptr;  // In allocation_, at a page's start.
  uint64_t capacity_ = 0;
  // What of the file is in buffer_; starts at a page's start.
  uint64_t window_start_ = 0;
  uint64_t window_end_ = 0;
};

}  // namespace mokv::wal
