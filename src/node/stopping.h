// Stopping: the end of a node as a list of steps, each with a name, run in order.
//
// A step bounds its own waiting. `at_most` repeats that bound: a reader sees how long a stop may
// take, and the log warns of a step that took longer.
//
// Threads: confined to the thread that stops the node.
#pragma once

#include <absl/functional/any_invocable.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace mokv {

class Stopping {
 public:
  // Borrows the clock.
  explicit Stopping(const Clock& clock) : clock_(clock) {}

  // `name` is a literal.
  void Add(std::string_view name, Duration at_most, absl::AnyInvocable<void()> run) {
    steps_.push_back({name, at_most, std::move(run)});
  }
  // Runs all steps. Returns how long they took, "hand over 3 ms, ...", without those below a
  // millisecond.
  std::string Run();

 private:
  struct Step {
    std::string_view name;
    Duration at_most;
    absl::AnyInvocable<void()> run;
  };

  const Clock& clock_;
  std::vector<Step> steps_;
};

}  // namespace mokv
