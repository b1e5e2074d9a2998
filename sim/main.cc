// sim: runs whole clusters in virtual time, from seeds. See docs/simulation.md.
//
//   sim --seeds=1000             many seeds, in parallel; what they covered
//   sim --seed=7                 one seed, with its timeline
//   sim --seed=7 --shrink        the smallest run found that fails like it
//   sim --mutations              by which check, and how fast, each deliberate bug is caught
//
// Nodes are consensus cores; with --replicas whole replicas with their logs and stores.
//
// Exit status 0: all is well; 1: something failed (with --mutations: was not caught); 2: bad usage.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <thread>

#include <CLI/CLI.hpp>

#include "sim/campaign.h"
#include "sim/lincheck/history.h"
#include "sim/shrink.h"
#include "sim/simulation.h"

namespace mokv::sim {
namespace {

struct Arguments {
  uint64_t seed = 0;
  bool replicas = false;
  CampaignOptions campaign;
  std::string mutation;
  std::vector<size_t> without;
  uint64_t operations = 3000;
  std::string history;
  bool messages = false;
  bool shrink = false;
  bool mutations = false;
  bool new_seeds = false;
};

std::string ReplayArguments(const Job& job, const Arguments& arguments) {
  std::string text =
      fmt::format("{}--seed={}", job.nodes == NodeKind::kReplicas ? "--replicas " : "", job.seed);
  if (!arguments.mutation.empty()) text += " --mutation=" + arguments.mutation;
  if (!job.without.empty()) text += fmt::format(" --without={}", fmt::join(job.without, ","));
  return text + fmt::format(" --operations={}", job.operations_max);
}

int ShrinkOne(const Job& job, const Arguments& arguments) {
  Runner runner(1);
  const Outcome failed = runner.RunOne(job);
  if (failed.violation.empty()) {
    fmt::print("seed {} does not fail\n", job.seed);
    return 0;
  }
  const Shrunk shrunk = Shrink(runner, failed, [](const Outcome& outcome) {
    fmt::print(stderr, "{} faults, {} operations: {}\n", outcome.faults, outcome.job.operations_max,
               CheckName(outcome.violation));
  });
  fmt::print("{}\nafter {} runs; see it with\n  bin/sim {}\n", shrunk.outcome.violation,
             shrunk.runs, ReplayArguments(shrunk.outcome.job, arguments));
  return 1;
}

// In this process, so that a check that stops it does so with the timeline above it.
int ShowOne(const Job& job, const Arguments& arguments) {
  SwitchOn(job.mutation);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const RunResult result =
      RunSeed({.nodes = job.nodes,
               .seed = job.seed,
               .without = job.without,
               .operations_max = job.operations_max,
               .sink = [](const std::string& line) { fmt::print("{}\n", line); },
               .messages = arguments.messages});
  if (!arguments.history.empty()) {
    std::ofstream file(arguments.history);
    for (const lincheck::Operation& operation : result.history) {
      file << lincheck::ToJson(operation) << '\n';
    }
    if (!file.good()) {
      fmt::print(stderr, "sim: cannot write {}\n", arguments.history);
      return 2;
    }
  }
  fmt::print("seed {}: {} faults, {} operations, {:.1f} simulated seconds; covered:", job.seed,
             result.faults, result.operations, static_cast<double>(result.simulated.count()) / 1e9);
  for (const Counter& counter : CountersOf(result.coverage, job.nodes)) {
    if (counter.value > 0) fmt::print(" {} {},", counter.value, counter.name);
  }
  fmt::print("\n{}\n", result.violation.empty() ? "all is well" : "FAILED: " + result.violation);
  return result.violation.empty() ? 0 : 1;
}

int ShowMutations(const Arguments& arguments) {
  const std::vector<Caught> caught =
      CatchMutations(arguments.campaign.nodes, arguments.campaign.seeds,
                     arguments.campaign.processes, arguments.campaign.quiet);
  fmt::print("{}", MutationTable(caught));
  return std::all_of(caught.begin(), caught.end(),
                     [](const Caught& one) { return !one.first.violation.empty(); })
             ? 0
             : 1;
}

int ShowSeeds(const Arguments& arguments) {
  const CampaignResult result = RunSeeds(arguments.campaign);
  // Fewer seeds need not meet what only one seed in some thousands meets.
  const bool complete = result.seeds < 20'000 || result.unvisited.empty();
  return result.failed.empty() && result.forbidden.empty() && complete ? 0 : 1;
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app{"Simulates whole clusters, from seeds; see docs/simulation.md"};
  auto* seed = app.add_option("--seed", arguments.seed, "Run this one and print its timeline");
  app.add_flag("--replicas", arguments.replicas, "Whole replicas with their logs, not cores");
  app.add_option("--first", arguments.campaign.first, "The first of many seeds");
  auto* seeds = app.add_option("--seeds", arguments.campaign.seeds, "How many seeds");
  app.add_option("--seconds", arguments.campaign.seconds, "Or for how long to run seeds");
  arguments.campaign.processes = std::max(1U, std::thread::hardware_concurrency());
  app.add_option("--jobs", arguments.campaign.processes, "Seeds to run at a time")
      ->check(CLI::PositiveNumber);
  app.add_option("--mutation", arguments.mutation,
                 "Switch on this bug (mutations/mutation.h of src/raft, replica, machine or wal)");
  app.add_option("--without", arguments.without, "Leave out these faults of the seed")
      ->delimiter(',');
  app.add_option("--operations", arguments.operations, "At most so many client operations");
  app.add_option("--history", arguments.history, "Write the clients' history here, for lincheck");
  app.add_flag("--messages", arguments.messages, "Every message in the timeline");
  app.add_flag("--shrink", arguments.shrink, "Fewer faults and operations that still fail");
  app.add_flag("--mutations", arguments.mutations, "How each deliberate bug is caught");
  app.add_flag("--new", arguments.new_seeds,
               "Begin at MOKV_SIM_SEED or, without that, at a seed made of the time");
  app.add_flag("--quiet", arguments.campaign.quiet, "No progress");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  arguments.campaign.nodes = arguments.replicas ? NodeKind::kReplicas : NodeKind::kCores;
  Job job{.nodes = arguments.campaign.nodes,
          .seed = arguments.seed,
          .mutation = FindMutation(arguments.mutation),
          .without = {arguments.without.begin(), arguments.without.end()},
          .operations_max = arguments.operations};
  if (job.mutation != arguments.mutation) {
    fmt::print(stderr,
               "sim: no mutation {}; mutations/mutation.h of src/raft and src/replica have "
               "them\n",
               arguments.mutation);
    return 2;
  }
  arguments.campaign.mutation = job.mutation;
  if (arguments.mutations) {
    if (seeds->count() == 0) arguments.campaign.seeds = 2000;
    return ShowMutations(arguments);
  }
  if (arguments.new_seeds) {
    const char* text = std::getenv("MOKV_SIM_SEED");
    arguments.campaign.first = text != nullptr ? std::strtoull(text, nullptr, 10)
                                               : static_cast<uint64_t>(std::time(nullptr)) * 1000;
    fmt::print("MOKV_SIM_SEED={} repeats these seeds\n", arguments.campaign.first);
  }
  if (seed->count() == 0) return ShowSeeds(arguments);
  return arguments.shrink ? ShrinkOne(job, arguments) : ShowOne(job, arguments);
}

}  // namespace
}  // namespace mokv::sim

int main(int argc, char** argv) { return mokv::sim::Main(argc, argv); }
