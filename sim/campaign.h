// Campaigns: many seeds at once. Clean ones, of which none may fail; and all mutations, each of
// which must be caught.
//
// Threads: confined to one; see runner.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/mutations.h"
#include "sim/runner.h"

namespace mokv::sim {

struct CampaignOptions {
  NodeKind nodes = NodeKind::kCores;
  uint64_t first = 1;
  uint64_t seeds = 100;
  uint64_t seconds = 0;  // Of real time, instead of a number of seeds; 0: the number.
  size_t processes = 1;
  std::string_view mutation;
  bool quiet = false;  // No progress.
};

struct CampaignResult {
  uint64_t seeds = 0;
  std::vector<Outcome> failed;
  // Counters that should have moved and did not in any seed; and counters that moved and must not.
  std::vector<std::string> unvisited;
  std::vector<std::string> forbidden;
};

// Prints progress to standard error; failures, what was covered and how fast, to standard output.
CampaignResult RunSeeds(const CampaignOptions& options);

struct Caught {
  Mutation mutation;
  uint64_t tried = 0;  // Seeds, in order, until the first that failed.
  Outcome first;       // Of that seed; no violation: not caught.
};

// For each mutation of these nodes the first failing seed of 1 to `seeds_max`.
std::vector<Caught> CatchMutations(NodeKind nodes, uint64_t seeds_max, size_t processes,
                                   bool quiet);
// As a Markdown table.
std::string MutationTable(const std::vector<Caught>& caught);

}  // namespace mokv::sim
