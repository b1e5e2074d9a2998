// The simulator as a whole: it repeats itself to the byte, its runs are as long as promised, kept
// seeds pass, and every deliberate bug is caught. New seeds are another test's
// (`ctest -L sim`).
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "base/testing/sanitizers.h"
#include "sim/campaign.h"
#include "sim/lincheck/checker.h"
#include "sim/runner.h"
#include "sim/shrink.h"
#include "sim/simulation.h"

namespace mokv::sim {
namespace {

constexpr uint64_t kSeeds = kSanitized ? 15 : 100;
constexpr uint64_t kReplicaSeeds = kSanitized ? 30 : 500;
constexpr uint64_t kMutationSeedsMax = 2000;

// "NAME SEED" or "SEED what it is" lines.
std::vector<std::pair<std::string, std::string>> ReadLines(const std::string& file) {
  std::vector<std::pair<std::string, std::string>> lines;
  std::ifstream in(std::string(MOKV_SIM_TESTDATA) + "/" + file);
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::stringstream words(line);
    std::string first;
    std::string second;
    words >> first >> second;
    lines.emplace_back(first, second);
  }
  return lines;
}

class Simulation : public ::testing::TestWithParam<NodeKind> {
 protected:
  static std::string RepeatWith(uint64_t seed) {
    return fmt::format("bin/sim{} --seed={}", replicas() ? " --replicas" : "", seed);
  }
  static bool replicas() { return GetParam() == NodeKind::kReplicas; }

  static RunResult Run(uint64_t seed) {
    RunResult result = RunSeed({.nodes = GetParam(), .seed = seed});
    EXPECT_EQ(result.violation, "") << RepeatWith(seed);
    return result;
  }
  static std::string TimelineOf(uint64_t seed) {
    std::string text;
    RunOptions options{.nodes = GetParam(), .seed = seed, .messages = true};
    options.sink = [&](const std::string& line) { text += line + '\n'; };
    const RunResult result = RunSeed(options);
    EXPECT_EQ(result.violation, "") << RepeatWith(seed);
    return text;
  }
};

INSTANTIATE_TEST_SUITE_P(Of, Simulation, ::testing::Values(NodeKind::kCores, NodeKind::kReplicas),
                         [](const auto& test) {
                           return test.param == NodeKind::kCores ? "Cores" : "Replicas";
                         });

// Goal:   a failing seed can be looked at as often as needed.
// Method: the whole timeline, with every message, twice.
TEST_P(Simulation, RepeatsItselfToTheByte) {
  for (uint64_t seed = 1; seed <= kSeeds / 5; ++seed) {
    // What the allocator counts depends on what was allocated in this process before.
    if (DrawPlan(seed, GetParam()).node.memory_spare_bytes > 0) continue;
    const std::string timeline = TimelineOf(seed);
    EXPECT_GT(timeline.size(), 10'000U);
    EXPECT_TRUE(timeline == TimelineOf(seed)) << seed;
  }
}

TEST_P(Simulation, IsTheSameWhetherSomebodyListensOrNot) {
  RunOptions options{.nodes = GetParam(), .seed = 5};
  const RunResult silent = RunSeed(options);
  options.sink = [](const std::string&) {};
  const RunResult heard = RunSeed(options);
  EXPECT_EQ(silent.events, heard.events);
  EXPECT_EQ(silent.operations, heard.operations);
}

TEST_P(Simulation, IsAsLongAsPromised) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const RunResult result = Run(seed);
    EXPECT_GE(result.simulated, std::chrono::seconds(60)) << seed;
    // Where no quorum is left in the end, nobody waits for more.
    if (result.coverage.excused == 0) {
      EXPECT_GE(result.operations, kOperationsMin) << seed;
    }
    EXPECT_GE(result.faults, kFaultsMin) << seed;
    for (const Counter& counter : CountersOf(result.coverage, GetParam())) {
      EXPECT_FALSE(counter.must_be_zero && counter.value > 0) << counter.name << ", seed " << seed;
    }
  }
}

TEST_P(Simulation, KeptSeedsPass) {
  const auto kept = ReadLines(replicas() ? "kept_replica_seeds.txt" : "kept_seeds.txt");
  ASSERT_FALSE(kept.empty());
  for (const auto& [seed, what] : kept) Run(std::stoull(seed));
}

// Whatever chance is to bring must come: each fault, each answer, turns that were interrupted.
TEST(ReplicaSeeds, VisitAllThatTheyShould) {
  const CampaignResult result =
      RunSeeds({.nodes = NodeKind::kReplicas, .first = 1, .seeds = kReplicaSeeds, .quiet = true});
  for (const Outcome& failed : result.failed) {
    ADD_FAILURE() << "bin/sim --replicas --seed=" << failed.job.seed << ": " << failed.violation;
  }
  EXPECT_THAT(result.forbidden, ::testing::IsEmpty());
  if (kReplicaSeeds < 500) return;  // Too few to have met everything.
  EXPECT_THAT(result.unvisited, ::testing::IsEmpty());
}

TEST(Runner, ReportsWhatTheRunItselfDoes) {
  Runner runner(2);
  const Outcome outcome = runner.RunOne({.seed = 3});
  const RunResult result = RunSeed({.seed = 3});
  EXPECT_EQ(outcome.violation, result.violation);
  EXPECT_EQ(outcome.operations, result.operations);
  EXPECT_EQ(outcome.faults, result.faults);
  const std::vector<Counter> counters = CountersOf(result.coverage, NodeKind::kCores);
  ASSERT_EQ(outcome.counters.size(), counters.size());
  for (size_t i = 0; i < counters.size(); ++i) EXPECT_EQ(outcome.counters[i], counters[i].value);
}

class Mutations : public ::testing::TestWithParam<Mutation> {};

TEST_P(Mutations, AreCaught) {
  std::map<std::string, std::string> recorded;
  for (const auto& [name, seed] : ReadLines("mutation_seeds.txt")) recorded[name] = seed;
  const std::string name(GetParam().name);
  ASSERT_TRUE(recorded.contains(name)) << "no seed is recorded for it";
  Runner runner(1);
  if (!runner
           .RunOne({.nodes = GetParam().nodes,
                    .seed = std::stoull(recorded[name]),
                    .mutation = GetParam().name})
           .violation.empty()) {
    return;
  }
  for (uint64_t seed = 1; seed <= kMutationSeedsMax; ++seed) {
    const Outcome outcome =
        runner.RunOne({.nodes = GetParam().nodes, .seed = seed, .mutation = GetParam().name});
    if (outcome.violation.empty()) continue;
    fmt::print("seed {} does not catch it any more, but {} does: {}\n", recorded[name], seed,
               CheckName(outcome.violation));
    return;
  }
  FAIL() << "no seed up to " << kMutationSeedsMax << " catches it: " << GetParam().text;
}

// What a deliberate bug does to the memory says nothing, and a look for new seeds takes long under
// a sanitizer: only the plain build is asked.
std::vector<Mutation> TestedMutations(NodeKind nodes) {
  return kSanitized ? std::vector<Mutation>() : MutationsOf(nodes);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Mutations);
INSTANTIATE_TEST_SUITE_P(Cores, Mutations, ::testing::ValuesIn(TestedMutations(NodeKind::kCores)),
                         [](const auto& test) { return std::string(test.param.name); });
INSTANTIATE_TEST_SUITE_P(Replicas, Mutations,
                         ::testing::ValuesIn(TestedMutations(NodeKind::kReplicas)),
                         [](const auto& test) { return std::string(test.param.name); });

// Any failure does; the first seed that fails here fails with any simulator worth its name.
TEST(Shrink, LeavesWhatTheFailureNeeds) {
  Runner runner(1);
  Job job{.mutation = "kNoStickiness"};
  Outcome failed;
  while (failed.violation.empty()) {
    ASSERT_LT(job.seed, 50U);
    failed = runner.RunOne(job);
    ++job.seed;
  }
  const Shrunk shrunk = Shrink(runner, failed, [](const Outcome&) {});
  EXPECT_EQ(CheckName(shrunk.outcome.violation), CheckName(failed.violation));
  EXPECT_LE(shrunk.outcome.faults, failed.faults);
  EXPECT_LE(shrunk.outcome.job.operations_max, failed.operations);
  // And it is a run like any other.
  EXPECT_EQ(runner.RunOne(shrunk.outcome.job).violation, shrunk.outcome.violation);
}

TEST(CheckName, IsWhatComesBeforeTheColon) {
  EXPECT_EQ(CheckName("read index: read 7"), "read index");
  EXPECT_EQ(CheckName(""), "");
}

}  // namespace
}  // namespace mokv::sim
