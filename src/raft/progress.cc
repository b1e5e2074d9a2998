#include "raft/progress.h"

#include <algorithm>

#include "base/check.h"

namespace mokv::raft {

void Inflight::Add(Index last, uint64_t bytes) {
  if (count_ == ring_.size()) {
    std::vector<Sent> grown(std::max<size_t>(4, 2 * ring_.size()));
    for (size_t i = 0; i < count_; ++i) grown[i] = ring_[(head_ + i) % ring_.size()];
    ring_ = std::move(grown);
    head_ = 0;
  }
  MOKV_CHECK_EQ(ring_.size() & (ring_.size() - 1), 0U);
  ring_[(head_ + count_) & (ring_.size() - 1)] = {last, bytes};
  ++count_;
  bytes_ += bytes;
}

void Inflight::FreeThrough(Index match) {
  while (count_ > 0 && ring_[head_].last <= match) {
    bytes_ -= ring_[head_].bytes;
    head_ = (head_ + 1) & (ring_.size() - 1);
    --count_;
  }
  MOKV_CHECK(count_ > 0 || bytes_ == 0);
}

void Inflight::Clear() {
  head_ = 0;
  count_ = 0;
  bytes_ = 0;
}

Progress::Progress(Index next, MonotonicTime now)
    : last_response(now), catch_up(next - 1, now), next_(next) {
  MOKV_CHECK_LT(match_, next_);
}

bool Progress::CanSend(const Limits& limits) const {
  switch (state_) {
    case State::kProbe:
      return !probe_sent_;
    case State::kReplicate:
      return inflight_.count() < limits.appends_max && inflight_.bytes() < limits.bytes_max;
    case State::kSnapshot:
      return false;
  }
  return false;
}

void Progress::OnSent(Index last, uint64_t bytes) {
  if (state_ == State::kProbe) {
    probe_sent_ = true;
    return;
  }
  if (last < next_) return;  // Empty.
  MOKV_CHECK(state_ == State::kReplicate);
  next_ = last.next();
  inflight_.Add(last, bytes);
}

bool Progress::OnAccepted(Index match) {
  const bool moved = match > match_;
  match_ = std::max(match_, match);
  next_ = std::max(next_, match_.next());
  if (match_ >= lost_through_) lost_through_ = Index();
  inflight_.FreeThrough(match_);
  const bool agreed = state_ == State::kProbe && match >= next_ - 1;
  const bool installed = state_ == State::kSnapshot && match_ >= snapshot_;
  if (agreed || installed || (state_ == State::kProbe && moved)) {
    state_ = State::kReplicate;
    next_ = match_.next();
    inflight_.Clear();
  }
  MOKV_CHECK_LT(match_, next_);
  return moved;
}

bool Progress::OnRejected(Index rejected, Index hint) {
  if (state_ == State::kSnapshot) return false;
  if (state_ == State::kReplicate) {
    if (rejected <= match_) return false;  // Older than what has been proved since.
    BecomeProbe();
    return true;
  }
  if (rejected != next_ - 1) return false;  // The answer to an earlier probe.
  // An old answer, or what it acknowledged is gone: the next heartbeat tells which.
  if (rejected <= match_) return false;
  const Index before = next_;
  next_ = std::max(match_.next(), std::min(rejected, hint.next()));
  MOKV_CHECK_LT(next_, before);  // So that probing ends.
  probe_sent_ = false;
  return true;
}

bool Progress::OnHeartbeatReply(Round round, Round timed) {
  MOKV_CHECK_LE(asked_round_, timed);
  const bool waiting = state_ == State::kProbe ? probe_sent_ : match_ < next_ - 1;
  if (!waiting || round <= std::max(sent_round, matched_round) || timed <= asked_round_) {
    return false;
  }
  asked_round_ = timed;
  probe_sent_ = false;
  return state_ != State::kProbe;
}

void Progress::BecomeProbe() {
  // A snapshot that was on its way may have arrived without our hearing of it.
  next_ = std::max(match_.next(), state_ == State::kSnapshot ? snapshot_.next() : Index(1));
  state_ = State::kProbe;
  probe_sent_ = false;
  fetching = false;
  inflight_.Clear();
  MOKV_CHECK_LT(match_, next_);
}

void Progress::OnLost(Index ends_at) {
  MOKV_CHECK_LT(ends_at, match_);
  lost_through_ = acknowledged();
  match_ = Index();
  next_ = ends_at.next();
  state_ = State::kProbe;
  probe_sent_ = false;
  fetching = false;
  sent_commit = Index();
  inflight_.Clear();
}

void Progress::BecomeSnapshot(Index snapshot) {
  MOKV_CHECK_GT(snapshot, match_);
  state_ = State::kSnapshot;
  snapshot_ = snapshot;
  next_ = snapshot.next();
  fetching = false;
  inflight_.Clear();
}

void Progress::OnSnapshotFailed() {
  MOKV_CHECK(state_ == State::kSnapshot);
  state_ = State::kProbe;
  next_ = match_.next();
  probe_sent_ = true;
}

}  // namespace mokv::raft
