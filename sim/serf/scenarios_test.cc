// What a large cluster must do. The numbers of docs/serf.md come from serf_sim, with more of
// everything; here as much as a test may take.
#include "sim/serf/scenarios.h"

#include <gtest/gtest.h>

namespace mokv::serf {
namespace {

constexpr size_t kNodes = 1000;
constexpr uint64_t kSeed = 1;
constexpr double kProbeInterval = 1;

TEST(LargeCluster, DeathsAreNoticedAndSpread) {
  const DeathResult result =
      MeasureDeaths(kNodes, /*loss=*/0.01, /*kills=*/80, /*machines=*/false, kSeed);
  EXPECT_LE(result.first_suspicion_mean, 2 * kProbeInterval);
  EXPECT_LE(result.known_max, result.suspicion_timeout + 3);
  // Pings and answers, and what there is to tell; no storm.
  EXPECT_LT(result.packets_per_node_second, 30u);
}

TEST(LargeCluster, LossIsNotDeath) {
  const LossResult result = MeasureLoss(kNodes, /*loss=*/0.20, std::chrono::seconds(45), kSeed);
  EXPECT_GT(result.refutations, 0u) << "nothing was put to the test";
  // A node that hears of its death refutes it at once, and that takes a few seconds to be known.
  EXPECT_LE(result.longest_death, 5);
  EXPECT_LE(result.dead_nodes, kNodes / 100);
}

TEST(LargeCluster, PartitionsHeal) {
  for (const uint64_t seed : {1, 2, 3}) {
    const PartitionResult result = MeasurePartition(200, 60, /*loss=*/0.01, seed);
    EXPECT_TRUE(result.agreed) << seed;
    EXPECT_LE(result.until_agreed, 60) << seed;
  }
}

TEST(LargeCluster, TheSameSeedGivesTheSameRun) {
  const LossResult once = MeasureLoss(50, 0.2, std::chrono::seconds(30), 7);
  const LossResult again = MeasureLoss(50, 0.2, std::chrono::seconds(30), 7);
  EXPECT_EQ(once.probes_failed, again.probes_failed);
  EXPECT_EQ(once.suspicions, again.suspicions);
  EXPECT_EQ(once.refutations, again.refutations);
}

}  // namespace
}  // namespace mokv::serf
