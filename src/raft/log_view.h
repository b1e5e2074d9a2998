// LogView: the log as the core sees it: the terms of all entries, the configurations in it, and the
// entries themselves from first_in_memory() on.
//
// The log on disk may be far longer than memory, so older entries are dropped here once they are
// durable and handed out for application; peers that need them are served by the owner (see
// EntriesWanted in output.h). Asking the owner asynchronously, instead of calling a reader from
// inside the core, keeps the core pure and the replica thread off the disk.
//
// Configurations are in effect from the moment they are appended and go when their entry is
// truncated (§4.1), so they live here, beside the entries.
//
// Threads:   confined to the core's.
// Invariant: base().index < first_in_memory() <= last().index + 1; all between is in memory.
// Bounds:    Trim's argument; what is not durable or not applied is bounded by the senders.
#pragma once

#include <absl/status/status.h>

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/log_entry.h"
#include "base/term_runs.h"
#include "raft/membership.h"
#include "raft/messages.h"

namespace mokv::raft {

// What an entry costs in memory; empty ones cost something too.
inline constexpr uint64_t kEntryOverheadBytes = 64;
inline uint64_t EntryBytes(const Entry& entry) {
  return kEntryOverheadBytes + entry.bytes().size();
}

class LogView {
 public:
  LogView();
  // Begins after `snapshot.last`. On a restart the log may begin before the newest snapshot: then
  // the owner gives the log's beginning as `last`, and the snapshot's membership. Nobody asks for
  // the membership at a place before the snapshot.
  explicit LogView(const SnapshotMeta& snapshot);

  // Takes the next entry that the owner found on disk, before the core begins. DATA_LOSS if it does
  // not follow the last one, if it is a configuration that does not parse, or if it is entry 1 and
  // no configuration.
  absl::Status Recover(const Entry& entry);
  // Drops entries from memory while they hold more than `bytes_max`, but none after `through`.
  void Trim(Index through, uint64_t bytes_max);

  Position base() const { return terms_.base(); }
  Position last() const { return terms_.last(); }
  Index first_in_memory() const { return first_in_memory_; }
  uint64_t bytes_in_memory() const { return bytes_; }

  // Whether the log, or its base, has this entry. False for what is compacted.
  bool Holds(Position position) const;
  // CHECKs base().index <= index <= last().index.
  Term TermAt(Index index) const {
    const std::optional<Term> term = terms_.TermAt(index);
    MOKV_CHECK(term.has_value());
    return *term;
  }
  // CHECKs that it is in memory.
  const Entry& At(Index index) const;
  // §3.6.1: whether a log that ends at `other` is at least as up to date as this one.
  bool IsUpToDate(Position other) const;
  // Where a log that has `term` at `index` may at best agree with this one.
  Position ConflictHint(Index index, Term term) const {
    return terms_.LastWithTermAtMost(index, term);
  }

  // Entries from `from` on, all in memory, at least one, until they exceed `bytes_max`.
  std::vector<Entry> Slice(Index from, Index through, uint64_t bytes_max) const;

  // CHECKs that it follows. A configuration takes effect; INVALID_ARGUMENT if it does not parse,
  // and then the log is as before.
  absl::Status Append(Entry entry);
  // CHECKs base().index < from <= last().index + 1.
  void TruncateFrom(Index from);
  // Forgets entries up to and including `through`; the owner has cut its log.
  void CompactThrough(Index through);
  // Everything is replaced by a snapshot.
  void ResetTo(const SnapshotMeta& snapshot);

  // The configuration in effect: the newest in the log, committed or not. Never null.
  const std::shared_ptr<const Membership>& membership() const { return history_.back().membership; }
  Index membership_index() const { return history_.back().index; }
  const std::shared_ptr<const Membership>& MembershipAt(Index index) const;
  // What the last finished change led to: the newest configuration that is neither joint nor after
  // `commit`. As long as nothing is known to be committed, which is so after each start, the newest
  // that is not joint.
  const std::shared_ptr<const Membership>& SettledMembership(Index commit) const;
  // Whether `id` has a vote in the configuration at `index` or in a later one.
  bool IsVoterSince(Index index, NodeId id) const;
  // How many configurations the log has after `index`.
  size_t ConfigurationsAfter(Index index) const;

 private:
  struct Configured {
    Index index;
    std::shared_ptr<const Membership> membership;
  };

  TermRuns terms_;
  Index first_in_memory_;
  std::deque<Entry> entries_;
  uint64_t bytes_ = 0;
  std::vector<Configured> history_;  // Never empty; the first is the base's.
};

}  // namespace mokv::raft
