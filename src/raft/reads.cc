// Core: linearizable reads without a log entry (§6.4), on the leader and on others.
#include "base/check.h"
#include "raft/core.h"
#include "raft/coverage.h"

namespace mokv::raft {

void Core::On(Read read) {
  const ReadOrigin origin{.from = options_.id, .request = read.request};
  if (reads_.waiting() + forwarded_.waiting() >= options_.reads_max) {
    VISITED(kReadTooMany);
    return RefuseRead(origin, Refusal::kTooManyReads);
  }
  if (role_ == Role::kLeader) return AddRead(origin);
  if (leader_ == NodeId()) return RefuseRead(origin, Refusal::kNoLeader);
  if (forwarded_.empty()) next_forward_check_ = now_ + 2 * options_.heartbeat_interval;
  forwarded_.Add(read.request);
}

void Core::AddRead(ReadOrigin origin) {
  MOKV_CHECK(role_ == Role::kLeader);
  if (ReleaseByLease(origin)) return;
  reads_.Add(origin);
}

// §6.4.1. The commit index is what the cluster has acknowledged: nobody else can be leading now.
bool Core::ReleaseByLease(const ReadOrigin& origin) {
  if (now_ >= lease_until()) return false;
  MOKV_CHECK(CommittedInTerm());
  ++stats_.lease_reads;
  Release(origin, commit_);
  return true;
}

MonotonicTime Core::lease_until() const {
  if (role_ != Role::kLeader || !CommittedInTerm()) return MonotonicTime();
  return lease_.until();
}

// Once a turn: all reads that wait share a round. Never before this leader has committed an entry
// of its term (§6.4, step 1): until then it does not know what is committed.
void Core::BeginReadRound() {
  if (!reads_.staged()) return;
  if (!CommittedInTerm()) {
    VISITED(kReadWaitsForCommit);
    return;
  }
  if (reads_.rounds_in_flight() >= options_.read_rounds_max) {
    VISITED(kReadRoundsFull);
    return;
  }
  BroadcastHeartbeat();
}

void Core::Release(const ReadOrigin& origin, Index index) {
  MOKV_CHECK_LE(index, commit_);
  if (origin.from == options_.id) {
    output_.reads.push_back({.request = origin.request, .index = index});
  } else {
    Send(origin.from, ReadIndexReply{.context = origin.context, .index = index});
  }
}

void Core::RefuseRead(const ReadOrigin& origin, Refusal refusal) {
  if (origin.from == options_.id) {
    output_.reads.push_back({.request = origin.request, .refusal = refusal});
  } else {
    Send(origin.from, ReadIndexReply{.context = origin.context});
  }
}

// --- A node that does not lead asks the leader (§6.4, last paragraph).

void Core::ForwardReads() {
  MOKV_CHECK(role_ != Role::kLeader);
  if (leader_ == NodeId()) return;
  if (const auto context = forwarded_.TakeRequest(now_, options_.read_rounds_max)) {
    Send(leader_, ReadIndexRequest{.context = *context});
  }
}

void Core::ForwardOverdueReads() {
  next_forward_check_ = now_ + 2 * options_.heartbeat_interval;
  if (leader_ == NodeId()) return;
  const MonotonicTime before = now_ - 2 * options_.heartbeat_interval;
  for (const ReadContext& context : forwarded_.Overdue(before, now_)) {
    VISITED(kReadAskedAgain);
    Send(leader_, ReadIndexRequest{.context = context});
  }
}

void Core::FailForwardedReads() {
  for (const RequestId read : forwarded_.FailAll()) {
    output_.reads.push_back({.request = read, .refusal = Refusal::kLeaderChanged});
  }
}

void Core::On(const Message& message, const ReadIndexRequest& request) {
  const ReadOrigin origin{.from = message.from, .context = request.context};
  const bool served = role_ == Role::kLeader && membership()->Contains(message.from) &&
                      reads_.waiting() < options_.reads_max;
  if (!served) {
    VISITED(kReadRequestRefused);
    return RefuseRead(origin, Refusal::kNotLeader);
  }
  AddRead(origin);
}

void Core::On(const Message& message, const ReadIndexReply& reply) {
  if (message.from != leader_) {
    VISITED(kReadAnswerOfAnother);
    return;
  }
  const bool refused = reply.index == Index();
  for (const RequestId read : forwarded_.OnReply(reply.context)) {
    output_.reads.push_back({.request = read,
                             .index = reply.index,
                             .refusal = refused ? Refusal::kLeaderChanged : Refusal::kNone});
  }
}

}  // namespace mokv::raft
