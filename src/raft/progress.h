// Progress: what the leader knows about one peer's log, and how much more it may send.
//
// kProbe:     where the logs agree is not known; one append at a time finds out (paper, §5.3).
// kReplicate: the logs agree up to match(); appends follow each other without waiting (§10.2.1),
//             bounded in number and bytes.
// kSnapshot:  the peer needs what the log no longer has; nothing is sent until it has the snapshot.
//
// Owner:     the core holds one per peer while it leads.
// Threads:   confined to the core's.
// Units:     `_bytes` are those of EntryBytes.
// Invariant: match() < next(); in kReplicate what lies between the two is in flight; match() falls
//            in OnLost only.
// Bounds:    16 bytes per append in flight, at most Limits::appends_max of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "raft/catch_up.h"
#include "raft/types.h"

namespace mokv::raft {

// A ring of (last index, bytes) of appends that have not been acknowledged.
class Inflight {
 public:
  size_t count() const { return count_; }
  uint64_t bytes() const { return bytes_; }
  size_t capacity() const { return ring_.size(); }
  void Add(Index last, uint64_t bytes);
  void FreeThrough(Index match);
  void Clear();

 private:
  struct Sent {
    Index last;
    uint64_t bytes;
  };
  std::vector<Sent> ring_;  // Grows to a power of two as needed.
  size_t head_ = 0;
  size_t count_ = 0;
  uint64_t bytes_ = 0;
};

class Progress {
 public:
  enum class State : uint8_t { kProbe, kReplicate, kSnapshot };
  struct Limits {
    size_t appends_max = 0;
    uint64_t bytes_max = 0;
  };

  // A new leader assumes nothing is shared: matching starts at zero and is proved by probing. The
  // peer counts as alive at first.
  Progress(Index next, MonotonicTime now);

  State state() const { return state_; }
  Index match() const { return match_; }
  Index next() const { return next_; }
  const Inflight& inflight() const { return inflight_; }

  bool CanSend(const Limits& limits) const;
  void OnSent(Index last, uint64_t bytes);
  // The peer confirmed every entry up to and including `match`. Replies may be reordered by the
  // network; an older one carries no news, so match never moves back. True if it moved.
  bool OnAccepted(Index match);
  // The peer has no entry like ours at `rejected`; the logs may agree at `hint`. False if the reply
  // is stale and changes nothing.
  bool OnRejected(Index rejected, Index hint);
  // The peer has answered heartbeat `round`. If it has said nothing of what was sent before that
  // heartbeat, an append or its answer may be lost. In kProbe CanSend then allows the probe again;
  // in other states this returns true, and the caller sends an empty append at next() - 1, whose
  // answer tells. Both happen at most once for each `timed`, the newest round that began because it
  // was time: rounds for reads come more often than a disk acknowledges.
  bool OnHeartbeatReply(Round round, Round timed);
  // The connection broke, so what was in flight is lost: probing begins after match().
  void BecomeProbe();
  void BecomeSnapshot(Index snapshot);
  // The peer has provably lost part of what it acknowledged, and its log agrees with ours up to
  // `ends_at` at most. Nothing counts as confirmed until the peer confirms it anew.
  void OnLost(Index ends_at);
  // Up to where the peer had acknowledged when it lost entries, until it has confirmed that anew.
  // Otherwise 0.
  Index lost_through() const { return lost_through_; }
  Index acknowledged() const { return std::max(match_, lost_through_); }
  // Only in kSnapshot. Not to be sent again before the next heartbeat reply.
  void OnSnapshotFailed();
  Index snapshot() const { return snapshot_; }

  // Written by the core.
  MonotonicTime last_response;  // When anything of this term was last heard.
  Round acked_round;            // The newest heartbeat round it has answered.
  Round matched_round;          // The newest round that had begun when match() last moved.
  Round sent_round;             // The same when something was last sent with nothing in flight.
  Index sent_commit;            // The newest commit index it has been told.
  bool fetching = false;        // The owner has been asked for entries for it.
  CatchUp catch_up;             // Of a learner.

 private:
  State state_ = State::kProbe;
  bool probe_sent_ = false;
  Round asked_round_;  // The `timed` round for which something was last taken for lost.
  Index match_;
  Index next_;
  Index lost_through_;
  Index snapshot_;  // In kSnapshot: the index that the peer will have.
  Inflight inflight_;
};

}  // namespace mokv::raft
