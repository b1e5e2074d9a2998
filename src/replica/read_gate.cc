#include "replica/read_gate.h"

#include "base/check.h"

namespace mokv::replica {

bool ReadGate::MayReadNow(const ReadRequirement& requirement) const {
  if (!open_.load(std::memory_order_acquire)) return false;
  if (requirement.linearizable) {
    const int64_t until = lease_until_ns_.load(std::memory_order_acquire);
    if (until == 0) return false;
    // The clock is asked now, not in some turn before: a process that was paused wakes up without
    // a lease. What is read after this was the newest state at this moment.
    const bool forever = until == MonotonicTime::Max().since_start.count();
    if (!forever && clock_.Now().since_start.count() >= until) return false;
    // What is committed but not published here yet may have been read on a follower already.
    const Index commit = this->commit();
    if (applied() < commit) return false;
  }
  return requirement.min_revision == Revision(0) || requirement.min_revision <= revision();
}

void ReadGate::Close() {
  RaiseLease(MonotonicTime());
  open_.store(false, std::memory_order_release);
}

void ReadGate::OnApplied(Index index, Revision revision) {
  MOKV_CHECK_GE(index, applied());
  MOKV_CHECK_GE(revision, this->revision());
  revision_.store(revision.value(), std::memory_order_release);
  applied_.store(index.value(), std::memory_order_release);
}

void ReadGate::LowerLease(MonotonicTime until) {
  if (until.since_start.count() < lease_until_ns_.load(std::memory_order_relaxed)) {
    RaiseLease(until);
  }
}

void ReadGate::RaiseLease(MonotonicTime until) {
  lease_until_ns_.store(until.since_start.count(), std::memory_order_release);
}

}  // namespace mokv::replica
