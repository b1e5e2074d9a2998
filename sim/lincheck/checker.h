// Is a history linearizable? Each operation that was done must have taken effect at one moment
// between its start and its end, so that all reads and comparisons come out as they did.
//
// Wing and Gong's search (1993) with Lowe's improvements (2017): a configuration, that is which
// operations have taken effect and what the state is then, is tried once; and each key is judged
// on its own (a history is linearizable if and only if it is for each object). Operations without
// an answer may take effect at any time after their start, or never.
//
// Configurations are remembered as 128-bit sums of random numbers, one for each operation. That two
// of them collide, which could only make a good history look bad, is as likely as 2^-70 for the
// largest search that is allowed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/lincheck/history.h"

namespace mokv::lincheck {

enum class Answer { kLinearizable, kNotLinearizable, kGaveUp };

struct Verdict {
  Answer answer = Answer::kLinearizable;
  // Unless linearizable: the key, and, if that is the answer, the smallest run of its operations in
  // time that cannot be explained whatever the key's value was before.
  std::string key;
  std::vector<Operation> window;
};

struct Limits {
  // Configurations of one key; at 16 bytes and more each, some hundred megabytes.
  uint64_t configurations_max = 10'000'000;
};

Verdict Check(const std::vector<Operation>& history, const Limits& limits = Limits());

}  // namespace mokv::lincheck
