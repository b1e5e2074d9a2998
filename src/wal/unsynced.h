// UnsyncedEntries: the entries at the end of the log that cannot be read from its files yet.
//
// Threads: confined to the log's caller. Bounds: those of the log's queue.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/log_entry.h"
#include "wal/log.h"

namespace mokv::wal {

// A part of the entries of one Append. All its parts share the entries.
struct EntryBlock {
  std::shared_ptr<const std::vector<Entry>> entries;
  size_t begin = 0;
  size_t end = 0;

  size_t size() const { return end - begin; }
  const Entry& front() const { return (*entries)[begin]; }
};

class UnsyncedEntries {
 public:
  // Durable with `ticket`; follows on those before.
  void Add(Ticket ticket, EntryBlock block) {
    if (block.size() > 0) blocks_.push_back({ticket, std::move(block)});
  }

  void TruncateFrom(Index index) {
    while (!blocks_.empty() && blocks_.back().block.front().index >= index) blocks_.pop_back();
    if (blocks_.empty()) return;
    EntryBlock& back = blocks_.back().block;
    back.end = std::min(back.end, back.begin + (index - back.front().index));
  }

  void Clear() { blocks_.clear(); }

  void Trim(Ticket durable) {
    while (!blocks_.empty() && blocks_.front().ticket <= durable) blocks_.pop_front();
  }

  std::optional<Index> first_index() const {
    if (blocks_.empty()) return std::nullopt;
    return blocks_.front().block.front().index;
  }

  // From first_index() up to the last.
  const Entry& At(Index index) const {
    const auto after =
        std::upper_bound(blocks_.begin(), blocks_.end(), index,
                         [](Index i, const Part& part) { return i < part.block.front().index; });
    MOKV_CHECK(after != blocks_.begin());
    const EntryBlock& block = (after - 1)->block;
    const Entry& entry = (*block.entries)[block.begin + (index - block.front().index)];
    MOKV_CHECK_EQ(entry.index, index);
    return entry;
  }

 private:
  struct Part {
    Ticket ticket;
    EntryBlock block;
  };
  std::deque<Part> blocks_;
};

}  // namespace mokv::wal
