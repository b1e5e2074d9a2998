// Core: the leader's log and its replication (§3.5, figure 2 "Leaders"), commitment (§3.6.2) and
// pipelining (§10.2.1).
#include <algorithm>

#include "base/check.h"
#include "raft/core.h"
#include "raft/coverage.h"
#include "raft/quorum.h"

namespace mokv::raft {

void Core::On(Propose propose) {
  ProposalResult result{.request = propose.request, .first = {log_.last().index.next(), term_}};
  for (Payload& payload : propose.payloads) {
    const uint64_t bytes = kEntryOverheadBytes + (payload == nullptr ? 0 : payload->size());
    result.refusal = WhyNotPropose(bytes);
    if (result.refusal != Refusal::kNone) break;
    AppendAsLeader(EntryType::kCommand, std::move(payload));
    ++result.accepted;
  }
  stats_.proposals_refused += propose.payloads.size() - result.accepted;
  output_.proposals.push_back(result);
}

Refusal Core::WhyNotPropose(uint64_t bytes) const {
  if (role_ != Role::kLeader) return Refusal::kNotLeader;
  // §3.10: "the prior leader stops accepting new client requests".
  if (transfer_.has_value()) return Refusal::kTransferring;
  // Without a quorum the log would grow for ever. One entry, however large, is always possible.
  if (uncommitted_bytes_ > 0 && uncommitted_bytes_ + bytes > options_.uncommitted_bytes_max) {
    return Refusal::kTooMuchUncommitted;
  }
  return Refusal::kNone;
}

void Core::AppendAsLeader(EntryType type, Payload payload) {
  MOKV_CHECK(role_ == Role::kLeader);
  Entry entry{.index = log_.last().index.next(),
              .term = term_,
              .type = type,
              .payload = std::move(payload)};
  uncommitted_bytes_ += EntryBytes(entry);
  AppendToLog(std::move(entry));
}

// What is known to be durable on `id`.
Index Core::MatchOf(NodeId id) const {
  if (id == options_.id) return durability_.stable();
  const auto peer = progress_.find(id);
  return peer == progress_.end() ? Index(0) : peer->second.match();
}

// Figure 2: "If there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N, and
// log[N].term == currentTerm: set commitIndex = N". Entries of earlier terms are committed by such
// an N only: a majority that has them could still be overruled (figure 8).
void Core::AdvanceCommit() {
  MOKV_CHECK(role_ == Role::kLeader);
  const Index reached =
      ReachedByQuorum(*membership(), [this](NodeId voter) { return MatchOf(voter); });
  MOKV_CHECK_LE(reached, log_.last().index);
  if (reached <= commit_) return;
  if (log_.TermAt(reached) != term_) {
    VISITED(kCommitWaitsForOwnTerm);
    return;
  }
  CommitTo(reached);
}

// Sends what the peer lacks and its window allows. Called once a turn, so that one append carries
// all that the turn has brought.
void Core::Replicate(NodeId peer, Progress& progress) {
  while (progress.CanSend(limits_) && SendNextAppend(peer, progress)) {
  }
  // While appends are under way, another will soon follow and carry the commit index. After the
  // last one, a message of its own carries it.
  if (progress.inflight().count() == 0) TellCommit(peer, progress);
}

// False when there is nothing to send for now.
bool Core::SendNextAppend(NodeId peer, Progress& progress) {
  const bool probing = progress.state() == Progress::State::kProbe;
  const Index next = progress.next();
  if (next <= log_.base().index) {
    SendSnapshot(peer, progress);
    return false;
  }
  if (next > log_.last().index) {
    if (probing) SendAppend(peer, progress, nullptr);
    return false;
  }
  if (next >= log_.first_in_memory()) {
    SendAppend(peer, progress, BatchFrom(next));
    return !probing;
  }
  if (probing) {
    VISITED(kProbeBeforeMemory);
    SendAppend(peer, progress, nullptr);  // Where the logs agree can be found without the entries.
  } else if (!progress.fetching) {
    progress.fetching = true;
    output_.entries_wanted.push_back({.peer = peer,
                                      .from = next,
                                      .through = log_.last().index,
                                      .bytes_max = options_.append_bytes_max});
  }
  return false;
}

// Peers that are at the same place, as they mostly are, share one batch.
EntryBatch Core::BatchFrom(Index from) {
  for (const EntryBatch& batch : batches_) {
    if (batch->front().index == from) return batch;
  }
  batches_.push_back(std::make_shared<const std::vector<Entry>>(
      log_.Slice(from, log_.last().index, options_.append_bytes_max)));
  return batches_.back();
}

void Core::SendAppend(NodeId peer, Progress& progress, EntryBatch entries) {
  MOKV_CHECK_LE(progress.match(), progress.next() - 1);
  const Index previous = progress.next() - 1;
  uint64_t bytes = 0;
  Index last = previous;
  if (entries != nullptr) {
    MOKV_CHECK_EQ(entries->front().index, progress.next());
    for (const Entry& entry : *entries) bytes += EntryBytes(entry);
    last = entries->back().index;
  }
  if (progress.inflight().count() == 0) progress.sent_round = rounds_.last();
  progress.OnSent(last, bytes);
  progress.sent_commit = std::max(progress.sent_commit, std::min(commit_, last));
  Send(peer, Append{.previous = {previous, log_.TermAt(previous)},
                    .entries = std::move(entries),
                    .commit = commit_});
}

// News of the commit index that no append carries: a follower that serves reads waits for it.
void Core::TellCommit(NodeId peer, Progress& progress) {
  const Index commit = std::min(commit_, progress.match());
  if (progress.state() != Progress::State::kReplicate || progress.sent_commit >= commit) return;
  VISITED(kCommitTold);
  MOKV_CHECK_LE(commit, progress.match());  // After that its log may differ.
  progress.sent_commit = commit;
  Send(peer, Heartbeat{.commit = commit, .acknowledged = AcknowledgedBy(progress)});
}

void Core::On(const Message& message, const AppendReply& reply) {
  const auto found = progress_.find(message.from);
  if (role_ != Role::kLeader || found == progress_.end()) return;
  Progress& progress = found->second;
  progress.last_response = now_;
  if (!reply.accepted) {
    const Index next = std::min(reply.hint.index, log_.last().index);
    if (reply.rejected > log_.last().index || reply.rejected < log_.base().index) {
      VISITED(kRejectionOutdated);
      return;
    }
    // The follower's hint, moved back to where this log can agree with one that has its term there.
    const Position agreed = log_.ConflictHint(std::max(next, log_.base().index), reply.hint.term);
    if (next < log_.base().index) VISITED(kHintBelowBase);
    const Index hint = next < log_.base().index ? next : agreed.index;
    if (progress.OnRejected(reply.rejected, hint)) ++stats_.appends_rejected;
    return;
  }
  if (reply.match > log_.last().index) {
    ++stats_.malformed;
    return;
  }
  const Index lost_through = progress.lost_through();
  const bool moved = progress.OnAccepted(reply.match);
  MOKV_CHECK_LE(progress.match(), log_.last().index);
  if (moved) progress.matched_round = rounds_.last();
  if (lost_through != Index() && progress.lost_through() == Index()) {
    output_.losses.push_back({.node = message.from,
                              .ends_at = reply.match,
                              .acknowledged = lost_through,
                              .healed = true});
  }
  progress.catch_up.OnProgress(progress.match(), log_.last().index, now_,
                               options_.election_timeout);
  MaybeSendTimeoutNow(message.from, progress);
  // Last, for it may end this leadership and `progress` with it.
  if (moved) AdvanceCommit();
}

// Entries of the log on disk. Much may have happened since they were asked for: what does not fit
// (any more) is dropped, and asked for anew if it is still needed.
void Core::On(EntriesFetched fetched) {
  const auto found = progress_.find(fetched.peer);
  if (role_ != Role::kLeader || found == progress_.end() || !found->second.fetching) return;
  Progress& progress = found->second;
  progress.fetching = false;
  if (fetched.entries == nullptr || fetched.entries->empty()) {
    VISITED(kFetchFailed);
    // Not readable for now; the next heartbeat reply brings another try.
    progress.BecomeProbe();
    progress.OnSent(progress.next(), 0);
    return;
  }
  if (fetched.entries->front().index != progress.next() || !progress.CanSend(limits_) ||
      progress.state() != Progress::State::kReplicate || progress.next() <= log_.base().index) {
    VISITED(kFetchOutdated);
    return;
  }
  for (const Entry& entry : *fetched.entries) {
    if (!log_.Holds({entry.index, entry.term})) return;
  }
  SendAppend(fetched.peer, progress, std::move(fetched.entries));
}

}  // namespace mokv::raft
