// What can happen to a core.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/log_entry.h"
#include "raft/membership.h"
#include "raft/messages.h"
#include "raft/types.h"

namespace mokv::raft {

using Payload = std::shared_ptr<const std::string>;

// Time has passed. Due when `now` has reached NextDeadline(); an earlier tick does nothing. After a
// pause the owner gives the messages that have arrived first, then the tick: otherwise the core
// would stand for election although its leader has spoken.
struct Tick {};

// From another node. Malformed ones are counted and dropped.
struct Receive {
  Message message;
};

// Commands to be appended, in this order. Answered with a ProposalResult.
struct Propose {
  RequestId request;
  std::vector<Payload> payloads;
};

// Everything up to `ticket` is on disk, and a snapshot that was to be installed with it is durable.
struct Persisted {
  PersistTicket ticket;
};

// A linearizable read on this node. Answered with a ReadResult.
struct Read {
  RequestId request;
};

// Answered with a ChangeResult.
struct ChangeMembership {
  RequestId request;
  std::vector<MemberChange> changes;
};

// To `target`, or to the best one if it is 0. Answered with a TransferResult.
struct TransferLeadership {
  RequestId request;
  NodeId target;
};

// The connection to a peer broke. For a leader what was in flight is lost; for a follower of that
// peer it is the hint that the leader is gone.
struct ConnectionClosed {
  NodeId peer;
};

// The answer to EntriesWanted: entries of the log on disk from EntriesWanted::from on. Empty when
// the log no longer has them or could not be read.
struct EntriesFetched {
  NodeId peer;
  EntryBatch entries;
};

// The owner has a snapshot that is durable; the newest one is what peers are sent. The membership
// is MembershipAt(last.index).
struct SnapshotTaken {
  SnapshotMeta snapshot;
};

// The owner has cut its log: nothing up to `through` is left. SnapshotTaken has told of a
// snapshot that ends there or later.
struct LogCompacted {
  Index through;
};

// InstallSnapshot did not reach the peer.
struct SnapshotFailed {
  NodeId peer;
};

using Event =
    std::variant<Tick, Receive, Propose, Persisted, Read, ChangeMembership, TransferLeadership,
                 ConnectionClosed, EntriesFetched, SnapshotTaken, LogCompacted, SnapshotFailed>;

}  // namespace mokv::raft
