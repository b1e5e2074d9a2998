// Suspicion: how long a suspected node has to refute, before it is declared dead.
//
// The time is longest while one node alone suspects it, and shrinks with each node that confirms
// (Lifeguard, section 4.2): a single accuser may be the one with the trouble.
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

  // `from` suspects the node too. True if that is news, which others should hear.
  bool Confirm(std::string_view from);
  MonotonicTime deadline() const { return deadline_; }

  // When to ask the suspect itself. That is done kChecks times before the deadline, because its
  // refutation may have reached all but this node. Max() once all are done.
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
