// serf_sim: prints what docs/serf.md says of large clusters.
//
//   serf_sim [NODES [SEED [deaths|loss|partition]]]      default: 1000 nodes, seed 1, all of it
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "sim/serf/scenarios.h"

namespace {

using namespace mokv;
using namespace mokv::serf;

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

void Deaths(size_t nodes, double loss, int kills, bool machines, uint64_t seed) {
  const Stopwatch watch;
  const DeathResult result = MeasureDeaths(nodes, loss, kills, machines, seed);
  fmt::print(
      "{}    {:>6} nodes, loss {:>4.0f} %: first suspicion after {:.2f} s (max {:.2f}); known "
      "to 99 % {:.1f} s later (max {:.1f}), suspicion timeout {:.1f} s; {} packets a second and "
      "node; {} kills, {:.0f} s to simulate\n",
      machines ? "machine" : "process", nodes, 100 * loss, result.first_suspicion_mean,
      result.first_suspicion_max, result.known_mean, result.known_max, result.suspicion_timeout,
      result.packets_per_node_second, result.kills, watch.Seconds());
}

void Loss(size_t nodes, double loss, int seconds, uint64_t seed) {
  const Stopwatch watch;
  const LossResult result = MeasureLoss(nodes, loss, std::chrono::seconds(seconds), seed);
  fmt::print(
      "loss       {:>6} nodes, loss {:>4.0f} %: in {:.0f} s {} failed probes, {} refutations; {} "
      "live nodes taken for dead, by {} observers, for {:.1f} s at most; {:.0f} s to simulate\n",
      nodes, 100 * loss, result.seconds, result.probes_failed, result.refutations,
      result.dead_nodes, result.false_deaths, result.longest_death, watch.Seconds());
}

void Partition(size_t nodes, double loss, uint64_t seed) {
  const Stopwatch watch;
  const PartitionResult result = MeasurePartition(nodes, nodes * 3 / 10, loss, seed);
  fmt::print(
      "partition  {:>6} nodes, loss {:>4.0f} %: 30/70, noticed by all after {:.0f} s; healed, {} "
      "after {:.1f} s; {:.0f} s to simulate\n",
      nodes, 100 * loss, result.until_noticed, result.agreed ? "all agree" : "NOT agreed",
      result.until_agreed, watch.Seconds());
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const size_t nodes = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1000;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  const std::string_view only = argc > 3 ? argv[3] : "";
  if (nodes < 10) {
    fmt::print(stderr,
               "usage: serf_sim [NODES [SEED [deaths|loss|partition]]], at least 10 nodes\n");
    return 2;
  }
  fmt::print("seed {}\n", seed);
  const int kills = static_cast<int>(nodes / 5);
  if (only.empty() || only == "deaths") {
    Deaths(nodes, 0, kills, /*machines=*/false, seed);
    Deaths(nodes, 0.01, kills, /*machines=*/false, seed);
    Deaths(nodes, 0.01, kills, /*machines=*/true, seed);
  }
  if (only.empty() || only == "loss") Loss(nodes, 0.20, 60, seed);
  if (only.empty() || only == "partition") {
    Partition(nodes, 0, seed);
    Partition(nodes, 0.01, seed);
  }
  return 0;
}
