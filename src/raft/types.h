// The consensus core's own small types. All are plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/log_entry.h"
#include "base/strong_int.h"

namespace mokv::raft {

// Who a node is: a fingerprint of its name *and* of the instance id of its data directory. A node
// that comes back with its old name and an empty disk is therefore somebody else, whom no
// configuration knows: its votes and acknowledgements count for nothing until it has been added.
// 64 bits, so that ids cost next to nothing to compare and copy; a collision is refused when a
// member is added. 0 means none.
using NodeId = StrongInt<struct NodeIdTag>;
NodeId NodeIdOf(std::string_view name, std::string_view instance_id);

// A vote as HardState keeps it. A text that is not ours is read as a vote for somebody unknown, so
// that the vote is not given a second time.
std::string VoteText(NodeId vote);
NodeId ParseVote(std::string_view text);

// Given by the owner to a read, a batch of proposals or a membership change, and returned with
// the answer. Within one life of the core each kind's ids must grow.
using RequestId = StrongInt<struct RequestIdTag>;

// Numbers what the owner is to persist. Persisted{n} covers every ticket up to n.
using PersistTicket = StrongInt<struct PersistTicketTag>;

// Counts the heartbeat broadcasts of one leader in one term.
using Round = StrongInt<struct RoundTag>;

enum class Role : uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };
std::string_view RoleName(Role role);

// A place in the log (§3.6.1 compares them): the entry at `index` had `term`.
using Position = EntryId;

}  // namespace mokv::raft
