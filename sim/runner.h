// Runner: runs in processes of their own, so that a check of the core that stops the process is a
// verdict like any other, and so that all of the machine's cores can be used.
//
// Threads: confined to one; forks, so the process must have no others.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sim/coverage.h"

namespace mokv::sim {

// What to run.
struct Job {
  NodeKind nodes = NodeKind::kCores;
  uint64_t seed = 1;
  std::string_view mutation;  // Its name (mutations.h).
  std::set<size_t> without;
  uint64_t operations_max = 3000;
};

// What became of it.
struct Outcome {
  Job job;
  std::string violation;           // Empty: all is well.
  std::vector<uint64_t> counters;  // In CountersOf's order; empty if the process was stopped.
  uint64_t faults = 0;
  uint64_t operations = 0;
  uint64_t simulated_ms = 0;
  uint64_t cpu_us = 0;
  uint64_t recovery_percent = 0;  // Of an election timeout, from repair to progress.
};

// The part of a violation that names the check: what comes before the colon.
std::string CheckName(const std::string& violation);

class Runner {
 public:
  explicit Runner(size_t processes) : processes_(processes) {}
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  // Runs the jobs that `next` gives until it gives none, and tells `done` of each as it ends. Stops
  // when `done` returns false.
  void RunAll(const std::function<std::optional<Job>()>& next,
              const std::function<bool(const Outcome&)>& done);
  Outcome RunOne(const Job& job);

 private:
  struct Child {
    pid_t pid = 0;
    int said = -1;       // What it writes to its standard error.
    std::string result;  // As far as it has come.
    Job job;
  };

  void Start(const Job& job);
  Outcome Collect(Child& child);
  void StopAll();

  size_t processes_;
  std::map<int, Child> children_;  // By the pipe that the result comes through.
};

}  // namespace mokv::sim
