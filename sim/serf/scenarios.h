// What a large cluster of Serf nodes does when nodes die, packets get lost, and the network breaks
// in two; in virtual time, from a seed.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace mokv::serf {

// Nodes are killed one after another. Times are virtual, and seconds.
struct DeathResult {
  int kills = 0;
  double first_suspicion_mean = 0;  // From the death to the first node that noticed.
  double first_suspicion_max = 0;
  double known_mean = 0;  // From that first suspicion until 99 percent know.
  double known_max = 0;
  double suspicion_timeout = 0;  // The shortest of the protocol, at this size.
  uint64_t packets_per_node_second = 0;
};
// A process that is gone leaves a machine that refuses connections; with `machines` nothing
// answers.
DeathResult MeasureDeaths(size_t nodes, double loss, int kills, bool machines, uint64_t seed);

// Nobody dies, but packets are lost.
struct LossResult {
  double seconds = 0;
  uint64_t probes_failed = 0;
  uint64_t suspicions = 0;  // By the nodes that raised them or heard of them.
  uint64_t refutations = 0;
  uint64_t false_deaths = 0;  // A live node taken for dead, each observer counted.
  uint64_t dead_nodes = 0;    // Live nodes that anybody took for dead.
  // The longest that a node was dead to an observer after it had learned of it, refuted it, and
  // the refutation was on its way.
  double longest_death = 0;
};
LossResult MeasureLoss(size_t nodes, double loss, Duration duration, uint64_t seed);

// Cut in two, each side takes the other for failed, and then it heals.
struct PartitionResult {
  double until_noticed = 0;  // Until each side sees all of the other as failed.
  double until_agreed = 0;   // From healing until everybody sees everybody alive.
  bool agreed = false;
};
PartitionResult MeasurePartition(size_t nodes, size_t minority, double loss, uint64_t seed);

}  // namespace mokv::serf
