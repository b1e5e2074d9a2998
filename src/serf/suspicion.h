// Suspicion: how long a suspected node has to refute, before it is declared dead.
//
// Starts with the longest time and shrinks with each independent confirmation (Lifeguard, section
// 4.2): one accuser may be the one with the trouble.
//
// Threads: a value, confined to its owner.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "serf/options.h"

namespace mokv::serf {

class Suspicion {
 public:
  // `members` counts those that are alive or suspected, this node and the suspect included.
  Suspicion(std::string_view accuser, size_t members, const Timing& timing, MonotonicTime now);

  // Whether `from` is news, and worth passing on.
  bool Confirm(std::string_view from);
  MonotonicTime deadline() const { return deadline_; }

  // When to ask the suspect itself, kChecks times before the deadline: its refutation may have got
  // lost on the way to this node alone. Max() once that is done.
  MonotonicTime next_check() const;
  void Checked(MonotonicTime now);

  // The shortest time that a suspicion lasts in such a cluster.
  static Duration TimeoutMin(size_t members, const Timing& timing);

 private:
  static constexpr int kChecks = 3;

  const MonotonicTime start_;
  const Duration check_pause_;
  const Duration min_;
  const Duration max_;
  int confirmations_wanted_;
  std::set<std::string, std::less<>> accusers_;
  MonotonicTime deadline_;
  int checks_left_ = kChecks;
};

}  // namespace mokv::serf
