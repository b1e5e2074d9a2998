// Core: entries that were acknowledged and are gone. What a node acknowledges is durable, so this
// is a fault of its disk, or the node runs on an older copy of it. Whatever was committed by its
// acknowledgement may now be on too few nodes, and its vote could elect one that lacks it.
//
// A loss is found only with proof. The leader's heartbeats say what the follower has acknowledged
// in this term, and such an entry never leaves a follower's log in the same term; so a follower
// that lacks it has lost it, however late that heartbeat comes. The leader believes the answer to a
// heartbeat only if the heartbeat's round began after the follower's last acknowledgement came:
// then the answer is newer than the acknowledgement.
//
// The leader counts nothing more of the peer and sends it the entries again. Until the follower has
// a log that is as good as the one that it lost, it votes as it would with the lost log and does
// not stand for election.
#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "raft/core.h"
#include "raft/coverage.h"

namespace mokv::raft {
namespace {

// §3.6.1.
bool IsBehind(Position last, Position other) {
  return std::tie(last.term, last.index) < std::tie(other.term, other.index);
}

}  // namespace

// 0/0 where the log has been cut: then a snapshot is under way, or all of it is committed there.
Position Core::AcknowledgedBy(const Progress& progress) const {
  const Index index = progress.acknowledged();
  if (index == Index() || index < log_.base().index) return {};
  return {index, log_.TermAt(index)};
}

void Core::NoteLossOf(NodeId peer, Progress& progress, const HeartbeatReply& reply) {
  if (!reply.ends_at.has_value() || *reply.ends_at >= progress.match()) return;
  if (reply.round <= progress.matched_round) return;
  VISITED(kLossFound);
  const bool known = progress.lost_through() != Index();
  progress.OnLost(*reply.ends_at);
  progress.matched_round = rounds_.last();
  progress.catch_up = CatchUp(log_.last().index, now_);
  if (known) return;
  output_.losses.push_back(
      {.node = peer, .ends_at = *reply.ends_at, .acknowledged = progress.lost_through()});
}

// A follower learns from its leader what it has lost. Returns what to tell the leader, if anything.
std::optional<Index> Core::NoteOwnLoss(Position acknowledged) {
  MOKV_CHECK(role_ == Role::kFollower);
  // What is committed here is the leader's as well, and perhaps compacted.
  if (acknowledged.index <= commit_ || log_.Holds(acknowledged)) return std::nullopt;
  const Index ends_at = std::min(log_.last().index, acknowledged.index - 1);
  MOKV_CHECK_LE(commit_, ends_at);  // What is committed here is never said to be lost.
  VISITED(kOwnLossFound);
  // The vote of this term may be lost as well, and a rival's late request would find it free.
  // Whoever the vote was for, this term has its leader.
  if (vote_ == NodeId()) SetTermAndVote(term_, leader_);
  if (IsBehind(lost_through_, acknowledged)) {
    if (lost_through_ == Position()) {
      output_.losses.push_back(
          {.node = options_.id, .ends_at = ends_at, .acknowledged = acknowledged.index});
    }
    lost_through_ = acknowledged;
  }
  return ends_at;
}

// Once a turn: whether what is durable here is as good as what was lost. It may be the log of
// another leader, which never had the lost entries.
void Core::EndOwnLoss() {
  const Index stable = durability_.stable();
  if (lost_through_ == Position() || stable < log_.base().index) return;
  if (IsBehind({stable, log_.TermAt(stable)}, lost_through_)) return;
  output_.losses.push_back({.node = options_.id,
                            .ends_at = stable,
                            .acknowledged = lost_through_.index,
                            .healed = true});
  lost_through_ = Position();
}

// Whether this node, before its loss, would have refused its vote to a log that ends at `last`.
bool Core::Contradicts(Position last) const { return IsBehind(last, lost_through_); }

}  // namespace mokv::raft
