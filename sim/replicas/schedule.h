// Random schedules of whole replicas: real replicas, logs and stores on disks that lose what was
// not synced, clients that write down what they saw, and faults, in one thread. One task of one
// node, or one message, or a little time is a step; steps come in random order, some of them in the
// middle of a turn. In the end all is repaired, and everything that anybody was told must be so.
//
// Threads: confined to the test's. The same seed does the same, byte for byte.
#pragma once

#include <cstdint>
#include <string>

#include "sim/replicas/clients.h"

namespace mokv::sim {

struct ScheduleResult {
  std::string violation;  // Empty: all is well.
  bool gave_up = false;   // The history was too hard to judge; everything else was.
  Counts counts;
  Duration simulated{0};
  // Of all that clients asked and were told.
  uint64_t fingerprint = 0;
};

ScheduleResult RunReplicaSchedule(uint64_t seed, int steps);

}  // namespace mokv::sim
