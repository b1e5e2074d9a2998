// Keepalive: when to ask a silent client for a sign of life, and when to give it up. TCP's own
// probes see a machine that is gone; this also sees a process that hangs, or whatever stands
// between us and still answers for it.
//
// Threads: a value of its connection.
#pragma once

#include <optional>

#include "base/clock.h"

namespace mokv::rpc {

class Keepalive {
 public:
  enum class Verdict {
    kAlive,  // Or asked, and the answer may still come.
    kAsk,    // Send a PING now.
    kDead,
  };

  // Silence of `idle` is asked about, and must end within `timeout`.
  Keepalive(Duration idle, Duration timeout, MonotonicTime now)
      : idle_(idle), timeout_(timeout), heard_(now) {}

  // Any bytes of the client are a sign of life, whether they answer the PING or not.
  void OnBytes(MonotonicTime now) {
    heard_ = now;
    asked_.reset();
  }

  // Call often, compared with both durations.
  Verdict Check(MonotonicTime now) {
    if (asked_.has_value()) return now - *asked_ < timeout_ ? Verdict::kAlive : Verdict::kDead;
    if (now - heard_ < idle_) return Verdict::kAlive;
    asked_ = now;
    return Verdict::kAsk;
  }

 private:
  const Duration idle_;
  const Duration timeout_;
  MonotonicTime heard_;
  std::optional<MonotonicTime> asked_;
};

}  // namespace mokv::rpc
