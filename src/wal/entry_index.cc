#include "wal/entry_index.h"

#include <algorithm>

#include "base/check.h"

namespace mokv::wal {
namespace {

constexpr uint64_t kExtentBytes = uint64_t{64} << 10;

}  // namespace

void EntryIndex::Add(Index first, Index last, Position start, uint64_t end_offset) {
  MOKV_CHECK_LE(first, last);
  if (!extents_.empty()) {
    Extent& back = extents_.back();
    MOKV_CHECK_EQ(first, back.last.next());
    // Batches without entries may lie between the two; they do no harm.
    if (!sealed_ && back.start.generation == start.generation &&
        end_offset - back.start.offset <= kExtentBytes) {
      back.last = last;
      back.end_offset = end_offset;
      return;
    }
  }
  extents_.push_back({first, last, start, end_offset});
  sealed_ = false;
}

void EntryIndex::TruncateFrom(Index index) {
  while (!extents_.empty() && extents_.back().first >= index) extents_.pop_back();
  if (!extents_.empty() && extents_.back().last >= index) extents_.back().last = index - 1;
  sealed_ = true;
}

void EntryIndex::CutHead(Index index) {
  while (!extents_.empty() && extents_.front().last <= index) extents_.pop_front();
}

std::optional<Extent> EntryIndex::Find(Index index) const {
  const auto after =
      std::upper_bound(extents_.begin(), extents_.end(), index,
                       [](Index i, const Extent& extent) { return i < extent.first; });
  if (after == extents_.begin()) return std::nullopt;
  const Extent& extent = *(after - 1);
  if (index > extent.last) return std::nullopt;
  return extent;
}

}  // namespace mokv::wal
