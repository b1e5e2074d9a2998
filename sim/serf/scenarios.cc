#include "sim/serf/scenarios.h"

#include <algorithm>
#include <map>
#include <set>

#include "serf/suspicion.h"
#include "serf/testing/sim_cluster.h"

namespace mokv::serf {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kSettle = seconds(3);

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

void Fill(SimCluster& cluster, size_t nodes) {
  for (size_t i = 0; i < nodes; ++i) {
    Options options;
    // Unlike a node's packets on a network, these cost nobody but us.
    options.compress = false;
    options.members_max = 2 * nodes;
    options.tags = {{"role", "mokv"}};
    cluster.AddNode(options);
  }
  cluster.SeedEverybody();
  cluster.RunFor(kSettle);
}

}  // namespace

namespace {

// Kills one node, and runs until anybody suspects it.
class Death {
 public:
  Death(SimCluster& cluster, SeededRandom& random, bool machine) : cluster_(cluster) {
    // Not always at the same point of the probers' second.
    cluster.RunFor(milliseconds(random.Next() % 1000));
    size_t victim = random.Next() % cluster.size();
    while (!cluster.running(victim)) victim = (victim + 1) % cluster.size();
    name_ = cluster.name(victim);
    if (machine) cluster.Partition(victim, static_cast<int>(victim) + 1);
    cluster.Kill(victim);
    const MonotonicTime died = cluster.now();
    cluster.RunUntilTrue([&] { return IsSuspected(); }, seconds(60), milliseconds(10));
    suspected_ = cluster.now();
    first_suspicion_ = Seconds(suspected_ - died);
  }

  double first_suspicion() const { return first_suspicion_; }

  // Runs until 99 percent of the others know; seconds since the first suspicion.
  double UntilKnown() {
    size_t knowing = 0;
    size_t running = 0;
    for (size_t i = 0; i < cluster_.size(); ++i) running += cluster_.running(i) ? 1 : 0;
    cluster_.on_member = [&](size_t, const MemberEvent& event) {
      knowing += event.change == MemberChange::kFailed && event.member.name == name_ ? 1 : 0;
    };
    cluster_.RunUntilTrue([&] { return 100 * knowing >= 99 * running; }, seconds(200),
                          milliseconds(20));
    cluster_.on_member = nullptr;
    return Seconds(cluster_.now() - suspected_);
  }

 private:
  bool IsSuspected() {
    for (size_t i = 0; i < cluster_.size(); ++i) {
      if (cluster_.running(i) && cluster_.node(i).Suspects(name_)) return true;
    }
    return false;
  }

  SimCluster& cluster_;
  std::string name_;
  MonotonicTime suspected_;
  double first_suspicion_ = 0;
};

}  // namespace

DeathResult MeasureDeaths(size_t nodes, double loss, int kills, bool machines, uint64_t seed) {
  SimCluster cluster(seed, {.loss = loss});
  SeededRandom random(seed + 1);
  Fill(cluster, nodes);
  DeathResult result{.kills = kills,
                     .suspicion_timeout = Seconds(Suspicion::TimeoutMin(nodes, Timing::Lan()))};
  const uint64_t packets_before = cluster.packets();
  const MonotonicTime begin = cluster.now();
  for (int kill = 0; kill < kills; ++kill) {
    Death death(cluster, random, machines);
    result.first_suspicion_mean += death.first_suspicion() / kills;
    result.first_suspicion_max = std::max(result.first_suspicion_max, death.first_suspicion());
    // Waiting for the news takes the longest; each tenth death must do.
    if (kill % 10 != 9) continue;
    const double known = death.UntilKnown();
    result.known_mean += known / (kills / 10);
    result.known_max = std::max(result.known_max, known);
  }
  result.packets_per_node_second =
      static_cast<uint64_t>(static_cast<double>(cluster.packets() - packets_before) /
                            static_cast<double>(nodes) / Seconds(cluster.now() - begin));
  return result;
}

LossResult MeasureLoss(size_t nodes, double loss, Duration duration, uint64_t seed) {
  SimCluster cluster(seed);
  Fill(cluster, nodes);
  cluster.network().loss = loss;
  LossResult result{.seconds = Seconds(duration)};
  std::map<std::pair<size_t, std::string>, MonotonicTime> dead_since;
  std::set<std::string> dead;
  cluster.on_member = [&](size_t by, const MemberEvent& event) {
    const std::pair key{by, event.member.name};
    if (event.change == MemberChange::kFailed) {
      ++result.false_deaths;
      dead.insert(event.member.name);
      dead_since[key] = cluster.now();
    } else if (event.change == MemberChange::kJoin && dead_since.contains(key)) {
      result.longest_death =
          std::max(result.longest_death, Seconds(cluster.now() - dead_since[key]));
      dead_since.erase(key);
    }
  };
  cluster.RunFor(duration);
  // Those still dead at the end have been for so long at least.
  for (const auto& [key, since] : dead_since) {
    result.longest_death = std::max(result.longest_death, Seconds(cluster.now() - since));
  }
  result.dead_nodes = dead.size();
  for (size_t i = 0; i < nodes; ++i) {
    const Stats stats = cluster.node(i).stats();
    result.probes_failed += stats.probes_failed;
    result.suspicions += stats.suspicions;
    result.refutations += stats.refutations;
  }
  return result;
}

PartitionResult MeasurePartition(size_t nodes, size_t minority, double loss, uint64_t seed) {
  SimCluster cluster(seed, {.loss = loss});
  Fill(cluster, nodes);
  for (size_t i = 0; i < minority; ++i) cluster.Partition(i, 1);
  const MonotonicTime cut = cluster.now();
  PartitionResult result;
  const auto all_see = [&](MemberStatus status, size_t of_minority, size_t of_majority) {
    for (size_t i = 0; i < nodes; ++i) {
      const size_t wanted = i < minority ? of_minority : of_majority;
      if (cluster.node(i).CountOf(status) != wanted) return false;
    }
    return true;
  };
  cluster.RunUntilTrue([&] { return all_see(MemberStatus::kFailed, nodes - minority, minority); },
                       seconds(600), seconds(1));
  result.until_noticed = Seconds(cluster.now() - cut);
  for (size_t i = 0; i < minority; ++i) cluster.Partition(i, 0);
  const MonotonicTime healed = cluster.now();
  result.agreed = cluster.RunUntilTrue([&] { return all_see(MemberStatus::kAlive, nodes, nodes); },
                                       seconds(180), milliseconds(500));
  result.until_agreed = Seconds(cluster.now() - healed);
  return result;
}

}  // namespace mokv::serf
