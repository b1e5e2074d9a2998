// Messages between cores: plain values that the peer layer maps to its own format.
//
// A message may be lost, duplicated, delayed and reordered; the core stays safe. Every one carries
// its sender's term (figure 2), except that PreVoteRequest and a granted PreVoteReply carry the
// term that the candidate *would* have (§9.6).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/log_entry.h"
#include "raft/membership.h"
#include "raft/types.h"

namespace mokv::raft {

// Made once and shared by all peers that are sent the same entries. By the pointer, the peer layer
// sees that what it encoded for one peer can be sent to the next.
using EntryBatch = std::shared_ptr<const std::vector<Entry>>;

// What a snapshot stands for: everything up to `last`, and the configuration there (§5.1).
struct SnapshotMeta {
  Position last;
  std::shared_ptr<const Membership> membership;
};

// Names one forwarded read. `boot` is drawn anew at each start, `sequence` counts: a context that
// was used once is never used again, so that no late answer releases a later read.
struct ReadContext {
  uint64_t boot = 0;
  uint64_t sequence = 0;
  bool operator==(const ReadContext&) const = default;
};

// §9.6: would you vote for me?
struct PreVoteRequest {
  Position last;
};
struct PreVoteReply {
  bool granted = false;
};

// Figure 2, RequestVote. `transfer`: the leader asked for it (§3.10), so stickiness does not apply.
struct VoteRequest {
  Position last;
  bool transfer = false;
};
struct VoteReply {
  bool granted = false;
};

// Figure 2, AppendEntries. No entries: a probe, or news of the commit index.
struct Append {
  Position previous;
  EntryBatch entries;  // Null means none.
  Index commit;
};
struct AppendReply {
  bool accepted = false;
  // Accepted: all up to here is durable and equal to the leader's.
  Index match;
  // Rejected: the previous index that was asked for, and the last place where the logs may agree.
  Index rejected;
  Position hint;
};

// Keeps the follower from standing for election, and asks whether it still follows (§6.4). Round 0
// only tells how far it may commit and is not answered.
struct Heartbeat {
  Index commit;
  Round round;
  // The last entry that the follower has acknowledged in this term; 0/0: not told. A follower that
  // does not have it has lost it: see losses.cc.
  Position acknowledged = {};
};
struct HeartbeatReply {
  Round round;
  // Set only by a follower that lacks what it has acknowledged: its log can equal the leader's up
  // to here at most.
  std::optional<Index> ends_at = std::nullopt;
};

// Figure 5.3. It carries no data: the follower's owner reads that from whoever has it, and gives the
// message to its core when all of it is there (replica/snapshots.h).
struct InstallSnapshot {
  SnapshotMeta snapshot;
};

// A follower's linearizable reads (§6.4).
struct ReadIndexRequest {
  ReadContext context;
};
struct ReadIndexReply {
  ReadContext context;
  Index index;  // 0: refused, ask again.
};

// §3.10: stand for election at once.
struct TimeoutNow {};

// "Your term is over": the answer to a leader of an earlier term.
struct TermNotice {};

struct Message {
  NodeId from;
  NodeId to;
  Term term;
  std::variant<PreVoteRequest, PreVoteReply, VoteRequest, VoteReply, Append, AppendReply, Heartbeat,
               HeartbeatReply, InstallSnapshot, ReadIndexRequest, ReadIndexReply, TimeoutNow,
               TermNotice>
      body;
};

// For scripts, timelines and logs: "1 -> 2 term 3 Append previous 4/2 entries 5/3 commit 4".
std::string ToString(const Message& message);
std::string ToString(Position position);
std::string ToString(const Membership& membership);

}  // namespace mokv::raft
