// Plan: what a seed stands for. Every run has its own mix and strength of everything (swarm
// testing: a run with few kinds of faults goes deeper into them than one with all), drawn before it
// begins, so that single faults can be left out of a repetition.
//
// Threads: plain values. Units: times are true time since the run's beginning.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "sim/coverage.h"
#include "sim/node_shared.h"

namespace mokv::sim {

inline constexpr size_t kFaultsMin = 5;
inline constexpr uint64_t kOperationsMin = 200;
inline constexpr Duration kFaultsLast = std::chrono::seconds(60);

struct Fault {
  size_t number = 0;  // What --without names.
  FaultKind kind = FaultKind::kLoss;
  Duration at{0};
  Duration length{0};
  uint64_t seed = 0;  // Its own choices.
};

struct WorkloadSettings {
  size_t clients = 3;
  uint32_t keys = 1;
  uint64_t read_percent = 50;
  uint64_t follower_percent = 20;  // Of reads.
  uint64_t lease_percent = 0;      // Of reads: looked up under the lease if there is one.
  uint64_t stale_percent = 0;      // Of replicas' reads: need not see the newest state.
  bool sessions = false;           // Some of replicas' clients write in sessions.
  Duration think{0};               // On average.
  Duration timeout{0};
};

struct Plan {
  NodeKind nodes = NodeKind::kCores;
  uint64_t seed = 0;
  size_t places = 3;
  size_t voters = 3;  // In the beginning; the other places have empty disks.
  std::vector<uint32_t> priorities;
  NodeSettings node;
  Duration network_min{0};
  Duration network_max{0};
  Duration turn_delay_max{0};
  // Of replicas: one turn in so many is interrupted where it can be; 0: none.
  uint64_t interrupt_one_in = 0;
  std::vector<int64_t> rates_permille;  // Of the places' clocks.
  uint64_t noticed_percent = 0;         // Crashes that peers see as closed connections.
  WorkloadSettings workload;
  std::vector<Fault> faults;  // By time.

  Duration election_timeout() const { return node.options.election_timeout; }
  bool leases() const { return node.options.lease_reads; }
};

Plan DrawPlan(uint64_t seed, NodeKind nodes);

// Whether nodes of this kind can have that fault.
bool AppliesTo(FaultKind fault, NodeKind nodes);
// Whether the fault is of those that came after seeds were kept, and are drawn apart from the others.
bool IsDrawnApart(FaultKind fault);

// The mix in one line.
std::string Describe(const Plan& plan);

}  // namespace mokv::sim
