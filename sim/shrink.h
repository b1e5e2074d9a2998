// Shrink: a failing run with fewer faults and operations that fails the same check. A heuristic: it
// finds a run from which no single fault can be taken away, not the smallest of all.
#pragma once

#include <functional>
#include <string>

#include "sim/runner.h"

namespace mokv::sim {

// `runs` tells how many were tried. CHECKs that `failed` has failed.
struct Shrunk {
  Outcome outcome;
  uint64_t runs = 0;
};
Shrunk Shrink(Runner& runner, const Outcome& failed,
              const std::function<void(const Outcome&)>& progress);

}  // namespace mokv::sim
