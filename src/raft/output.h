// What a core asks of its owner after some events. The owner does it in the order of the fields:
// it hands the log what is to be persisted, then sends the messages, then applies the entries.
//
// The owner waits for nothing in between. The core itself withholds a message that promises
// something (a vote, an acknowledgement) until Persisted says that it is durable. A leader's
// entries go out at once: its own disk is one vote among others (§10.2.1).
#pragma once

#include <absl/status/status.h>

#include <optional>
#include <vector>

#include "base/log_entry.h"
#include "raft/messages.h"
#include "raft/types.h"

namespace mokv::raft {

// One atomic write: to be answered with Persisted{ticket}, in the order of tickets.
struct PersistRequest {
  PersistTicket ticket;
  // First: the state machine and the log are replaced by this snapshot, whose data came with the
  // message. The log then begins after snapshot.last.
  std::optional<SnapshotMeta> install;
  // Then: entries from here on are dropped.
  std::optional<Index> truncate_from;
  std::vector<Entry> entries;
  std::optional<HardState> hard_state;
};

enum class Refusal : uint8_t {
  kNone,
  kNotLeader,
  kTransferring,        // Leadership is being handed over; try again soon.
  kTooMuchUncommitted,  // Options::uncommitted_bytes_max.
  kTooManyReads,        // Options::reads_max.
  kNoLeader,            // A read: no leader is known that could be asked.
  kLeaderChanged,       // A read: ask again.
};
std::string_view RefusalName(Refusal refusal);

// The first `accepted` payloads became entries from `first` on, in `term`. One is done when its
// entry is among the committed ones, and certainly not done when an entry of another term is there
// instead; until then its fate is unknown. The rest was refused and will never be done.
struct ProposalResult {
  RequestId request;
  size_t accepted = 0;
  Position first;
  Refusal refusal = Refusal::kNone;
};

// Released: answer from a state machine that has applied `index` or more.
struct ReadResult {
  RequestId request;
  Index index;
  Refusal refusal = Refusal::kNone;
};

// Ok: done and committed. UNAVAILABLE: not done; if `fate_unknown`, it may still be done.
struct ChangeResult {
  RequestId request;
  absl::Status status;
  bool fate_unknown = false;
};

// Ok: another leader is known. UNAVAILABLE: refused or given up.
struct TransferResult {
  RequestId request;
  absl::Status status;
};

// `peer` needs entries that are no longer in memory. To be answered with EntriesFetched; one
// request a peer at a time.
struct EntriesWanted {
  NodeId peer;
  Index from;
  Index through;
  uint64_t bytes_max = 0;
};

// Where the node stands now, told when any of it has changed.
struct Standing {
  Role role = Role::kFollower;
  Term term;
  NodeId leader;                    // 0: none known.
  bool can_serve = false;           // Leads and has committed in its term.
  bool lacks_acknowledged = false;  // See EntriesLost.
  bool operator==(const Standing&) const = default;
};

// `node`, this one or a peer of this leader, lacks entries that it had acknowledged as durable: a
// fault of its disk, or an older copy of it. It is sent them again, and until it has them it gives
// no vote that contradicts them. Told when the loss is found, and once more when it is `healed`.
struct EntriesLost {
  NodeId node;
  Index ends_at;       // Where its log ended when the loss was found.
  Index acknowledged;  // Up to where it had acknowledged.
  bool healed = false;
};

struct Output {
  std::optional<PersistRequest> persist;
  std::vector<Message> messages;
  // In log order, each exactly once in a core's life. This node's own disk may not have them yet,
  // if a quorum of others does; so a snapshot must not cover more than this node's log has durably.
  std::vector<Entry> committed;
  // More is committed than Options lets one output hold: the next TakeOutput, soon, has it.
  bool more_committed = false;
  std::vector<ProposalResult> proposals;
  std::vector<ReadResult> reads;
  std::vector<ChangeResult> changes;
  std::vector<TransferResult> transfers;
  std::vector<EntriesWanted> entries_wanted;
  // Peers need a snapshot and there is none: take one and tell SnapshotTaken.
  bool snapshot_wanted = false;
  std::optional<Standing> standing;
  // A new configuration is in effect (or an old one is again); see Core::membership().
  bool membership_changed = false;
  std::vector<EntriesLost> losses;
};

}  // namespace mokv::raft
