// ReadGate: whether a read may look at this node's state right now. It alone holds the atomics that
// this rests on; the replica thread writes them, I/O threads read them.
//
// A linearizable read may look if nobody else can have committed anything (the lease), and if all
// that anybody may have seen is visible here. Four orders make that so:
//
//   1. Lower before send.    A message may let another node lead, or tell a follower what is
//                            committed. The lease is lowered, and the commit index raised, before
//                            messages leave (LowerLease, Promise, then Peers::Send).
//   2. Publish before raise. What a longer lease must see is published before the lease is raised
//                            (Machine::Publish, OnApplied, then RaiseLease).
//   3. Lease before commit   MayReadNow loads the lease, asks the clock, and only then compares the
//      before applied.       commit index with the applied one. A commit that was promised while the
//                            lease held is seen by the second load.
//   4. Look after.           The caller looks at the state after MayReadNow: it sees at least what
//                            was published when the applied index was stored.
//
// Each store releases and each load acquires, so that a thread that sees a value sees what came
// before it.
//
// Threads: MayReadNow and the indexes are thread-safe; the rest is confined to the replica thread.
// Units:   the lease is nanoseconds of the clock.
// See:     Raft dissertation, 6.4 and 6.4.1.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"
#include "base/ids.h"

namespace mokv::replica {

// How fresh a read must be.
struct ReadRequirement {
  bool linearizable = true;
  Revision min_revision;  // 0: none.
};

class ReadGate {
 public:
  explicit ReadGate(const Clock& clock) : clock_(clock) {}

  bool MayReadNow(const ReadRequirement& requirement) const;
  Index commit() const { return Index(commit_.load(std::memory_order_acquire)); }
  Index applied() const { return Index(applied_.load(std::memory_order_acquire)); }
  Revision revision() const { return Revision(revision_.load(std::memory_order_acquire)); }

  // From now on the state has everything that was acknowledged: until then it is being recovered.
  void Open() { open_.store(true, std::memory_order_release); }
  // This node takes no part any more.
  void Close();

  // Everything up to `commit` is committed, and others may act upon it.
  void Promise(Index commit) { commit_.store(commit.value(), std::memory_order_release); }
  // Entries up to `index` are applied and published; the state is at `revision`.
  void OnApplied(Index index, Revision revision);
  // Until when this node may answer linearizable reads without asking anybody: to `until` if that
  // is earlier than what was, or to `until` in any case.
  void LowerLease(MonotonicTime until);
  void RaiseLease(MonotonicTime until);

 private:
  const Clock& clock_;
  std::atomic<bool> open_{false};
  std::atomic<int64_t> lease_until_ns_{0};
  std::atomic<uint64_t> commit_{0};
  std::atomic<uint64_t> applied_{0};
  std::atomic<uint64_t> revision_{0};
};

}  // namespace mokv::replica
