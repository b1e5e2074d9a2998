// What the log's caller hands to its log thread.
#pragma once

#include <optional>

#include "base/clock.h"
#include "base/log_entry.h"
#include "wal/format.h"
#include "wal/log.h"
#include "wal/unsynced.h"

namespace mokv::wal {

// What one Append, or a piece of a large one, gave. It is written whole, in one batch.
struct QueuedWrite {
  Ticket ticket;  // Durable with this item.
  MonotonicTime since;
  std::optional<Index> truncate_from;
  std::optional<EntryId> head;
  std::optional<EntryId> reset;
  std::optional<HardState> hard_state;
  bool seals_head = false;  // Segments that a cut made superfluous can go when this is durable.
  EntryBlock block;
  EntryId last;            // Of the log after this item.
  uint64_t bytes_max = 0;  // What it needs in a segment, in a batch of its own.
  // Reading finds the first entry with an index in a batch, so nothing may be replaced within one.
  bool begins_batch() const { return truncate_from.has_value() || reset.has_value(); }
};

}  // namespace mokv::wal
