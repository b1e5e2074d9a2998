// Observer: sees the core's every step and what it gives out; for tests and the simulator, which
// judge them. Nothing of the product looks.
//
// Threads: called on the replica thread, and must not call the replica.
#pragma once

#include "raft/core.h"

namespace mokv::replica {

class Observer {
 public:
  virtual ~Observer() = default;
  // Before the core is given `event`.
  virtual void OnStep(const raft::Core& core, const raft::Event& event) = 0;
  // What a turn gave, before anything is done with it.
  virtual void OnOutput(const raft::Core& core, const raft::Output& output) = 0;
};

}  // namespace mokv::replica
