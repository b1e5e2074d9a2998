// Simulation: one run, from its seed to its verdict.
//
//   1. a cluster starts, clients begin, and for 60 simulated seconds the plan's faults happen;
//   2. everything is repaired: within kProgressTimeouts election timeouts, and a round trip with a
//      write for every entry, there must be a leader that has committed in its term, a write that
//      began since must be done, and every node of the configuration must have what is committed;
//      unless there is no quorum any more that could lead (wiped disks, members that never lead);
//   3. clients go on until they have done enough, and their history is judged.
//
// After every event the invariants and rules are looked at; the first violation ends the run.
//
// Threads: one run is confined to one thread. The same options give the same timeline, byte for
// byte.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "sim/coverage.h"
#include "sim/lincheck/history.h"
#include "sim/plan.h"
#include "sim/timeline.h"

namespace mokv::sim {

inline constexpr int64_t kProgressTimeouts = 40;
// Once all is repaired, a disk writes at least so often in an election timeout.
inline constexpr int64_t kRepairedWritesPerTimeout = 8;

struct RunOptions {
  NodeKind nodes = NodeKind::kCores;
  uint64_t seed = 1;
  std::set<size_t> without;        // Faults that are left out, by number.
  uint64_t operations_max = 3000;  // Fewer make a shorter history.
  Timeline::Sink sink;             // Null: no timeline.
  bool messages = false;           // In the timeline.
};

struct RunResult {
  // Empty: all is well. Otherwise the check's name, a colon, and what was found.
  std::string violation;
  Coverage coverage;
  size_t faults = 0;
  uint64_t operations = 0;
  uint64_t events = 0;
  Duration simulated{0};
  // From repair to progress.
  Duration recovered_after{0};
  Duration election_timeout{0};
  std::vector<lincheck::Operation> history;
};

RunResult RunSeed(const RunOptions& options);

}  // namespace mokv::sim
