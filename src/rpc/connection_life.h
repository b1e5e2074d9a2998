// ConnectionLife: when a connection is to end although nothing is wrong with it: it has been idle or
// open for long. Ending is graceful: the client is told that there will be no more calls, then which
// is the last one, and those that run may finish within a grace period.
//
// Threads: a value of its connection. Pure: time comes in.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace mokv::rpc {

class ConnectionLife {
 public:
  enum class Verdict {
    kStay,
    kAnnounce,  // Tell the client that an end is coming.
    kGoAway,    // Take no more calls.
    kClose,     // What still runs has had its time.
  };

  struct Limits {
    Duration idle_max{0};  // Zero: no limit.
    Duration age_max{0};   // Likewise.
    Duration notice{0};    // From kAnnounce to kGoAway.
    Duration grace{0};     // From kGoAway to kClose.
  };
  ConnectionLife(const Limits& limits, MonotonicTime now)
      : limits_(limits), began_(now), idle_since_(now) {}

  // A call has begun.
  void OnCall() { called_ = true; }

  // Call often, compared with all limits: the client is idle from the first look at which it is.
  Verdict Check(MonotonicTime now, bool has_calls) {
    if (has_calls || called_) idle_since_ = now;
    called_ = false;
    switch (step_) {
      case Step::kServing:
        if (!IsOver(limits_.idle_max, idle_since_, now) && !IsOver(limits_.age_max, began_, now)) {
          return Verdict::kStay;
        }
        return Take(Step::kAnnounced, Verdict::kAnnounce, now);
      case Step::kAnnounced:
        if (now - step_began_ < limits_.notice) return Verdict::kStay;
        return Take(Step::kGoing, Verdict::kGoAway, now);
      case Step::kGoing:
        return now - step_began_ < limits_.grace ? Verdict::kStay : Verdict::kClose;
    }
    return Verdict::kStay;
  }

 private:
  enum class Step { kServing, kAnnounced, kGoing };

  static bool IsOver(Duration limit, MonotonicTime since, MonotonicTime now) {
    return limit != Duration::zero() && now - since >= limit;
  }
  Verdict Take(Step step, Verdict verdict, MonotonicTime now) {
    step_ = step;
    step_began_ = now;
    return verdict;
  }

  const Limits limits_;
  const MonotonicTime began_;
  MonotonicTime idle_since_;
  bool called_ = false;  // Since the last look.
  Step step_ = Step::kServing;
  MonotonicTime step_began_;
};

// `age_max`, give or take a tenth: connections that began together must not all come back together.
// Neighbours in number are far apart (multiples of the golden ratio).
inline Duration SpreadAge(Duration age_max, uint64_t number) {
  constexpr uint64_t kGoldenRatio = 0x9e3779b97f4a7c15;  // Its part behind the point, in 64 bits.
  constexpr int kSteps = 1024;
  const auto step = static_cast<int64_t>((number * kGoldenRatio) >> 54);
  return age_max - age_max / 10 + age_max / 5 / kSteps * step;
}

}  // namespace mokv::rpc
