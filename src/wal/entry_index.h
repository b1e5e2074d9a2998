// EntryIndex: where the durable entries of the log are, kept as one short extent for every 64 KiB
// or so of batches.
//
// Threads: confined, or guarded by its owner's mutex. Bounds: a few dozen bytes for each 64 KiB of
// log that is held, and for each truncation.
#pragma once

#include <deque>
#include <optional>

#include "base/ids.h"
#include "wal/format.h"

namespace mokv::wal {

// A run of batches in one segment. Reading from `start` on meets the entries `first` to `last` in
// order, each for the first time there; after `last` there may be some that were truncated.
struct Extent {
  Index first;
  Index last;
  Position start;
  uint64_t end_offset = 0;
};

class EntryIndex {
 public:
  // The entries of one batch, which follow on those before.
  void Add(Index first, Index last, Position start, uint64_t end_offset);
  void TruncateFrom(Index index);
  // Forgets what lies wholly at or below `index`.
  void CutHead(Index index);
  void Clear() { extents_.clear(); }

  // The extent that holds `index`.
  std::optional<Extent> Find(Index index) const;

 private:
  std::deque<Extent> extents_;  // By index, without gaps.
  bool sealed_ = false;         // The last one must not grow: a truncation came behind it.
};

}  // namespace mokv::wal
