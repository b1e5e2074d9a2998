// Where work runs: a thread with a queue in the product, a step of virtual time in the simulator.
#pragma once

#include <absl/functional/any_invocable.h>

namespace mokv {

using Task = absl::AnyInvocable<void()>;

// Thread-safe. Tasks of one executor run one at a time, in the order in which they were posted.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual void Post(Task task) = 0;
};

}  // namespace mokv
