#include "rpc/deadlines.h"

#include <algorithm>

namespace mokv::rpc {

uint64_t Deadlines::Add(MonotonicTime deadline, CallId call) {
  const uint64_t id = next_id_++;
  calls_.emplace(std::pair(deadline, id), call);
  ArmTimer();
  return id;
}

void Deadlines::ArmTimer() {
  if (calls_.empty()) return;
  const MonotonicTime earliest = calls_.begin()->first.first;
  // A timer armed for a call that has ended since fires early, which costs less than moving it
  // with every call.
  if (earliest >= armed_for_) return;
  armed_for_ = earliest;
  timer_.Start(std::max(earliest - clock_.Now(), Duration(0)), [this] { Expire(); });
}

void Deadlines::Expire() {
  armed_for_ = MonotonicTime::Max();
  const MonotonicTime now = clock_.Now();
  while (!calls_.empty() && calls_.begin()->first.first <= now) {
    const CallId call = calls_.begin()->second;
    calls_.erase(calls_.begin());
    expired_(call);
  }
  ArmTimer();
}

}  // namespace mokv::rpc
