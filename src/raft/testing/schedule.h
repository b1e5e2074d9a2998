// A random schedule: a few cores, and everything that may go wrong with their messages, disks,
// clocks and lives, drawn from one seed; afterwards all is repaired, and the cluster must come
// back.
#pragma once

#include <cstdint>
#include <string>

#include "raft/core.h"

namespace mokv::raft::testing {

struct ScheduleResult {
  std::string violation;  // Empty: all invariants held, and progress was made in the end.
  // What the schedule has visited.
  Stats stats;
  uint64_t committed = 0;
  uint64_t reads = 0;
  uint64_t changes = 0;
  uint64_t crashes = 0;
};

// `steps` random actions.
ScheduleResult RunSchedule(uint64_t seed, int steps);

}  // namespace mokv::raft::testing
