// The deliberate bugs that a run may have: of the core (src/raft/mutations), which both kinds of
// nodes run, of the replica (src/replica/mutations), of its machine (src/machine/mutations) and of its
// log (src/wal/mutations). One at a time, by its name.
//
// Threads: confined to the run's.
#pragma once

#include <string_view>
#include <vector>

#include "sim/node.h"

namespace mokv::sim {

struct Mutation {
  std::string_view name;
  std::string_view text;
  NodeKind nodes = NodeKind::kCores;  // Who is to show it.
};

// Those of the core for cores, but for losses, which only replicas have; those and the ones of the
// replica, its machine and its log for replicas.
std::vector<Mutation> MutationsOf(NodeKind nodes);

// Its name, which lives as long as the process; empty if there is none.
std::string_view FindMutation(std::string_view name);

// From now on; an empty name is none.
void SwitchOn(std::string_view name);

}  // namespace mokv::sim
