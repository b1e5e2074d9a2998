// Conditions: troubles of a node that runs nevertheless, each with what to do about it. The same
// words go to `mokvctl status`, `/readyz?verbose` and the log.
//
// Threads: pure functions of values; ConditionLog is confined to one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "replica/report.h"

namespace mokv {

struct Condition {
  std::string name;  // Of a check: `space`, `memory`, ...
  std::string what;  // In two or three words, for a table.
  std::string text;  // With what to do.

  bool operator==(const Condition&) const = default;
};

struct ConditionInputs {
  std::string node_name;
  replica::Report status;
  std::string fenced;     // Why; empty: it is not.
  std::string differing;  // How the replicas' states differ; empty: nothing is known of that.
  bool out_of_space = false;
  uint64_t memory_bytes = 0;
  uint64_t memory_bytes_max = 0;  // 0: no limit.
  // By mokvctl rebuild, and it is no member yet.
  bool is_rebuilt = false;
  // Another member looked for a node of this name with another data directory.
  bool met_as_another_instance = false;
  // Files that were changed and cannot be used: what they are.
  std::vector<std::string> not_reloaded;
};

// The names of all checks, in the order in which they are shown.
std::vector<std::string> ConditionNames();
// The conditions that hold.
std::vector<Condition> FindConditions(const ConditionInputs& inputs);

// Logs a condition once when it begins, and once when it has ended.
class ConditionLog {
 public:
  void Update(const std::vector<Condition>& now);

 private:
  std::vector<Condition> told_;
};

}  // namespace mokv
