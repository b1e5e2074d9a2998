// Durability: what the owner has been given to persist, and what of it is known to be on disk.
//
// The disk answers late and in order. Between a write and its answer the log may be truncated and
// written anew at the same indexes. The answer then proves nothing about the new entries there (the
// ABA race), so each outstanding write remembers up to where its entries still stand.
//
// Threads:   confined to the core's.
// Invariant: stable() <= handed(); outstanding tickets grow.
#pragma once

#include <algorithm>
#include <deque>

#include "base/check.h"
#include "base/clock.h"
#include "raft/coverage.h"
#include "raft/types.h"

namespace mokv::raft {

class Durability {
 public:
  // All that was found at the start is durable.
  explicit Durability(Index last) : stable_(last), handed_(last) {}

  Index stable() const { return stable_; }  // Entries up to here are on disk.
  Index handed() const { return handed_; }  // Entries up to here have been given to the owner.
  PersistTicket next_ticket() const { return last_ticket_.next(); }
  PersistTicket last_ticket() const { return last_ticket_; }
  PersistTicket persisted() const { return persisted_; }
  bool waiting() const { return !writes_.empty(); }
  // When the disk last answered, or the oldest outstanding write was handed over. Only while
  // waiting().
  MonotonicTime waiting_since() const { return waiting_since_; }

  // Entries from `from` on are no more.
  void OnTruncated(Index from) {
    handed_ = std::min(handed_, from - 1);
    stable_ = std::min(stable_, from - 1);
    for (Write& write : writes_) {
      if (write.last < from) continue;
      VISITED(kTruncatedWhileWriting);
      write.last = from - 1;
    }
  }
  // A snapshot takes the place of all entries; it is durable when the next write is.
  void OnReset(Index base) {
    for (Write& write : writes_) write.last = Index(0);
    stable_ = Index(0);
    handed_ = base;
  }
  // The owner is given everything up to `last`.
  PersistTicket Issue(Index last, MonotonicTime now) {
    MOKV_CHECK_GE(last, handed_);
    if (writes_.empty()) waiting_since_ = now;
    ++last_ticket_;
    handed_ = last;
    writes_.push_back({last_ticket_, last});
    return last_ticket_;
  }
  void OnPersisted(PersistTicket ticket, MonotonicTime now) {
    MOKV_CHECK_LE(ticket, last_ticket_);
    while (!writes_.empty() && writes_.front().ticket <= ticket) {
      stable_ = std::max(stable_, std::min(writes_.front().last, handed_));
      writes_.pop_front();
      waiting_since_ = now;
    }
    persisted_ = std::max(persisted_, ticket);
    MOKV_CHECK_LE(stable_, handed_);
    MOKV_CHECK_LE(persisted_, last_ticket_);
  }

 private:
  struct Write {
    PersistTicket ticket;
    Index last;
  };

  Index stable_;
  Index handed_;
  PersistTicket last_ticket_;
  PersistTicket persisted_;
  MonotonicTime waiting_since_;
  std::deque<Write> writes_;
};

}  // namespace mokv::raft
