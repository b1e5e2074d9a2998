#include "sim/campaign.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace mokv::sim {
namespace {

using RealClock = std::chrono::steady_clock;

double SecondsSince(RealClock::time_point begin) {
  return std::chrono::duration<double>(RealClock::now() - begin).count();
}

class Progress {
 public:
  explicit Progress(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) != 0) {}
  // At most once a second on a terminal, every ten elsewhere.
  void Tell(const std::string& line) {
    if (quiet_ || SecondsSince(last_) < (terminal_ ? 1 : 10)) return;
    last_ = RealClock::now();
    fmt::print(stderr, "{}{}{}", terminal_ ? "\r\x1b[K" : "", line, terminal_ ? "" : "\n");
  }
  void End() const {
    if (!quiet_ && terminal_) fmt::print(stderr, "\r\x1b[K");
  }

 private:
  bool quiet_;
  bool terminal_;
  RealClock::time_point last_ = RealClock::now();
};

struct Totals {
  std::vector<uint64_t> counters;
  uint64_t seeds = 0;
  uint64_t faults = 0;
  uint64_t operations = 0;
  uint64_t simulated_ms = 0;
  uint64_t cpu_us = 0;
  uint64_t recovery_percent_max = 0;

  void Add(const Outcome& outcome) {
    ++seeds;
    counters.resize(std::max(counters.size(), outcome.counters.size()));
    for (size_t i = 0; i < outcome.counters.size(); ++i) counters[i] += outcome.counters[i];
    faults += outcome.faults;
    operations += outcome.operations;
    simulated_ms += outcome.simulated_ms;
    cpu_us += outcome.cpu_us;
    recovery_percent_max = std::max(recovery_percent_max, outcome.recovery_percent);
  }
  double hours() const { return static_cast<double>(simulated_ms) / 3'600'000; }
  double hours_per_core_minute() const {
    return cpu_us == 0 ? 0 : hours() / (static_cast<double>(cpu_us) / 60'000'000);
  }
};

void PrintCoverage(const Totals& totals, NodeKind nodes, CampaignResult& result) {
  const std::vector<Counter> counters = CountersOf(Coverage(), nodes);
  fmt::print("covered:\n");
  for (size_t i = 0; i < totals.counters.size(); ++i) {
    const uint64_t value = totals.counters[i];
    if (counters[i].must_be_zero) {
      if (value > 0) result.forbidden.push_back(counters[i].name);
    } else if (value == 0 && !counters[i].may_be_zero) {
      result.unvisited.push_back(counters[i].name);
    }
    fmt::print("{:>14} {}\n", value, counters[i].name);
  }
  for (const std::string& name : result.unvisited) fmt::print("UNVISITED: {}\n", name);
  for (const std::string& name : result.forbidden) fmt::print("NEVER TO HAPPEN: {}\n", name);
}

std::string RepeatWith(const Job& job) {
  std::string text = fmt::format("bin/sim{} --seed={}",
                                 job.nodes == NodeKind::kReplicas ? " --replicas" : "", job.seed);
  if (!job.mutation.empty()) text += fmt::format(" --mutation={}", job.mutation);
  return text;
}

}  // namespace

CampaignResult RunSeeds(const CampaignOptions& options) {
  CampaignResult result;
  Totals totals;
  Progress progress(options.quiet);
  Runner runner(options.processes);
  const RealClock::time_point begin = RealClock::now();
  uint64_t next = options.first;
  runner.RunAll(
      [&]() -> std::optional<Job> {
        const bool over = options.seconds > 0
                              ? SecondsSince(begin) >= static_cast<double>(options.seconds)
                              : next - options.first >= options.seeds;
        if (over) return std::nullopt;
        return Job{.nodes = options.nodes, .seed = next++, .mutation = options.mutation};
      },
      [&](const Outcome& outcome) {
        totals.Add(outcome);
        if (!outcome.violation.empty()) {
          result.failed.push_back(outcome);
          progress.End();
          fmt::print("FAILED seed {}: {}\n  repeat with: {}\n", outcome.job.seed, outcome.violation,
                     RepeatWith(outcome.job));
        }
        progress.Tell(fmt::format("{} seeds, {} failed, {:.1f} simulated hours", totals.seeds,
                                  result.failed.size(), totals.hours()));
        return true;
      });
  progress.End();
  result.seeds = totals.seeds;
  PrintCoverage(totals, options.nodes, result);
  fmt::print(
      "seeds {} to {}: {} failed; {} faults, {} operations, {:.1f} simulated hours in {:.0f} s, "
      "{:.1f} simulated hours a minute of one core; slowest recovery {:.1f} election timeouts\n",
      options.first, next - 1, result.failed.size(), totals.faults, totals.operations,
      totals.hours(), SecondsSince(begin), totals.hours_per_core_minute(),
      static_cast<double>(totals.recovery_percent_max) / 100);
  return result;
}

std::vector<Caught> CatchMutations(NodeKind nodes, uint64_t seeds_max, size_t processes,
                                   bool quiet) {
  std::vector<Caught> all;
  Progress progress(quiet);
  for (const Mutation& mutation : MutationsOf(nodes)) {
    Caught caught{.mutation = mutation};
    Runner runner(processes);
    uint64_t next = 1;
    uint64_t first = seeds_max + 1;
    runner.RunAll(
        [&]() -> std::optional<Job> {
          if (next > seeds_max || next > first) return std::nullopt;
          return Job{.nodes = nodes, .seed = next++, .mutation = mutation.name};
        },
        [&](const Outcome& outcome) {
          // Later seeds may end sooner; the first one counts.
          if (!outcome.violation.empty() && outcome.job.seed < first) {
            first = outcome.job.seed;
            caught.first = outcome;
          }
          progress.Tell(fmt::format("{}: {} seeds", mutation.name, next - 1));
          return true;
        });
    caught.tried = std::min(first, seeds_max);
    all.push_back(std::move(caught));
  }
  progress.End();
  return all;
}

std::string MutationTable(const std::vector<Caught>& all) {
  std::string table =
      "| mutation | what is broken | caught by | at seed |\n| --- | --- | --- | --- |\n";
  for (const Caught& caught : all) {
    const bool is_caught = !caught.first.violation.empty();
    const std::string& violation = caught.first.violation;
    std::string check = is_caught ? CheckName(violation) : "**not caught**";
    // Which check of the core: its file and line tell.
    if (check == "check in the core") {
      const size_t place = violation.find(": check failed");
      check += fmt::format(" ({})", violation.substr(check.size() + 2, place - check.size() - 2));
    }
    table += fmt::format("| `{}` | {} | {} | {} |\n", caught.mutation.name, caught.mutation.text,
                         check, is_caught ? std::to_string(caught.tried) : "-");
  }
  return table;
}

}  // namespace mokv::sim
