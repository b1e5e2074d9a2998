// Core: what a follower does with its leader's appends and heartbeats (figure 2, AppendEntries,
// receiver; §3.5).
#include "base/check.h"
#include "raft/core.h"
#include "raft/coverage.h"

namespace mokv::raft {

// A message of this term's leader: candidates give up (§3.4), and the election timeout starts anew.
void Core::HearLeader(NodeId leader) {
  MOKV_CHECK(role_ != Role::kLeader);
  if (role_ == Role::kCandidate) VISITED(kCandidateYields);
  if (role_ != Role::kFollower || leader_ != leader) BecomeFollower(term_, leader);
  last_leader_contact_ = now_;
  leader_lost_ = false;
  early_pre_votes_left_ = 0;
  election_timer_.Extend(now_);
}

void Core::On(const Message& message, const Append& append) {
  if (role_ == Role::kLeader) {
    ++stats_.malformed;  // Two leaders in one term: somebody lies.
    return;
  }
  HearLeader(message.from);
  // What is committed here is equal to the leader's log already (§3.6.3, leader completeness), and
  // perhaps compacted: it is never compared again, let alone truncated.
  if (append.previous.index < commit_) {
    VISITED(kAppendBelowCommit);
    return AcceptUpTo(message.from, commit_);
  }
  if (!log_.Holds(append.previous)) {
    // Rule 2, and "the term of the conflicting entry and the first index of that term" (§3.5), said
    // as the last place where the logs may still agree.
    return Send(message.from, AppendReply{.accepted = false,
                                          .rejected = append.previous.index,
                                          .hint = log_.ConflictHint(append.previous.index,
                                                                    append.previous.term)});
  }
  Index matched = append.previous.index;
  if (append.entries != nullptr) {
    AppendFromLeader(*append.entries);
    matched = append.entries->back().index;
    MOKV_CHECK_LE(matched, log_.last().index);
  }
  // Rule 5: min(leaderCommit, index of last new entry). What comes after that may still differ.
  const Index commit = std::min(append.commit, matched);
  if (commit > commit_) CommitTo(commit);
  AcceptUpTo(message.from, matched);
}

// Rules 3 and 4: only a real conflict truncates. A late append must not cut off what a later one
// has brought since.
void Core::AppendFromLeader(const std::vector<Entry>& entries) {
  MOKV_CHECK(!entries.empty());
  MOKV_CHECK_LE(entries.front().index, log_.last().index.next());  // The one before is there.
  for (const Entry& entry : entries) {
    if (entry.index <= log_.last().index) {
      if (log_.TermAt(entry.index) == entry.term) {
        VISITED(kAppendOverlaps);
        continue;
      }
      VISITED(kAppendConflicts);
      TruncateLog(entry.index);
    }
    AppendToLog(entry);
  }
}

// "All up to `match` is durable here and equal to yours" is a promise.
void Core::AcceptUpTo(NodeId leader, Index match) {
  MOKV_CHECK(role_ == Role::kFollower);
  MOKV_CHECK_LE(match, log_.last().index);
  const AppendReply reply{.accepted = true, .match = match};
  const bool durable = match <= durability_.stable() && !hard_state_changed_ &&
                       hard_state_ticket_ <= durability_.persisted();
  if (durable) return Send(leader, reply);
  SendWhenDurable(leader, reply);
}

void Core::On(const Message& message, const Heartbeat& heartbeat) {
  if (role_ == Role::kLeader) {
    ++stats_.malformed;
    return;
  }
  HearLeader(message.from);
  // The leader names a commit index only as far as it knows the two logs to be equal. That is void
  // if this log has lost entries since.
  const std::optional<Index> ends_at = NoteOwnLoss(heartbeat.acknowledged);
  const Index commit = std::min(heartbeat.commit, log_.last().index);
  if (commit > commit_ && !ends_at.has_value()) CommitTo(commit);
  // The reply promises nothing about the log, so it need not wait for the disk.
  if (heartbeat.round == Round()) return;
  Send(message.from, HeartbeatReply{.round = heartbeat.round, .ends_at = ends_at});
}

}  // namespace mokv::raft
