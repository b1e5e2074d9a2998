// The Raft log's entry and hard state, as the consensus core, the log on disk and the replica pass
// them to each other. Plain values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/ids.h"

namespace mokv {

enum class EntryType : uint8_t {
  kNoOp = 0,           // A new leader's first entry (Raft dissertation, 6.4).
  kConfiguration = 1,  // The cluster's members; entry 1 of every log is one.
  kCommand = 2,        // A command of the state machine.
};

// Where an entry is, and its term; 0/0 stands before the first entry.
struct EntryId {
  Index index;
  Term term;

  bool operator==(const EntryId&) const = default;
};

// Immutable once made; the payload is shared, since the log, the peers and the state machine hold
// it at the same time.
struct Entry {
  Index index;
  Term term;
  EntryType type = EntryType::kNoOp;
  std::shared_ptr<const std::string> payload;  // Null means empty.

  std::string_view bytes() const {
    return payload == nullptr ? std::string_view() : std::string_view(*payload);
  }
};

// What a node must not forget (Raft paper, figure 2), and how far it knew the log to be committed.
// The commit index is a hint: losing an update of it loses no promise.
struct HardState {
  Term term;
  std::string vote;  // Node id voted for in `term`; empty means none.
  Index commit;

  bool operator==(const HardState&) const = default;
};

}  // namespace mokv
