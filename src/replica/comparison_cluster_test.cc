// Replicas that notice when one has another state.
#include <gtest/gtest.h>

#include "base/status.h"
#include "machine/command.h"
#include "replica/testing/cluster.h"

namespace mokv::replica::testing {
namespace {

using std::chrono::seconds;

class ComparisonClusterTest : public ::testing::Test {
 protected:
  ComparisonClusterTest() { cluster.Form(); }

  void Write(int count) {
    for (int i = 0; i < count; ++i) {
      const WriteOutcome outcome = cluster.life(cluster.Leader()).Set(fmt::format("k{}", i % 7));
      cluster.RunUntil([&] { return outcome->has_value(); }, "the write is answered");
    }
  }
  // As a fault of its memory would.
  void Change(const std::string& name) {
    const Entry entry{.index = Index(1),
                      .term = Term(1),
                      .type = EntryType::kCommand,
                      .payload = std::make_shared<const std::string>(
                          machine::EncodeCommand(store::Set{"nobody's", "value"}))};
    std::vector<machine::Result> results;
    ASSERT_TRUE(cluster.machine(name).Apply({&entry, 1}, results).ok());
    cluster.machine(name).Publish();
  }
  bool IsFenced(const std::string& name) { return cluster.life(name).fenced; }

  ReplicaCluster cluster{3};
};

TEST_F(ComparisonClusterTest, EqualOnesSayNothing) {
  Write(100);
  cluster.RunUntil([&] { return cluster.replica("n1").report().counters.compared_index > 64; },
                   "they have compared");
  for (const std::string& name : cluster.names()) {
    EXPECT_EQ(cluster.life(name).differing, "");
    EXPECT_EQ(cluster.replica(name).report().counters.differences, 0u);
  }
}

TEST_F(ComparisonClusterTest, AFollowerThatDiffersIsFencedAndTheOthersGoOn) {
  const std::string victim = cluster.Follower();
  Change(victim);
  Write(20);
  cluster.RunUntil([&] { return IsFenced(victim); }, "it is fenced");
  EXPECT_FALSE(cluster.replica(victim).CanReadNow({.linearizable = false}));
  const StatusOutcome read = cluster.life(victim).Read({.linearizable = false});
  cluster.RunUntil([&] { return read->has_value(); }, "the read is answered");
  EXPECT_EQ((*read)->code(), absl::StatusCode::kUnavailable) << **read;
  Write(20);
  for (const std::string& name : cluster.names()) {
    EXPECT_EQ(IsFenced(name), name == victim);
    // The others say who it is.
    if (name == victim) continue;
    EXPECT_NE(cluster.life(name).differing.find(victim), std::string::npos);
  }
}

TEST_F(ComparisonClusterTest, ALeaderThatDiffersLetsAnotherLeadAndIsFenced) {
  const std::string victim = cluster.Leader();
  Change(victim);
  const WriteOutcome last = cluster.life(victim).Set("k");
  Write(20);
  cluster.RunUntil([&] { return IsFenced(victim); }, "it is fenced");
  cluster.RunUntil([&] { return !cluster.Leader().empty() && cluster.Leader() != victim; },
                   "another leads");
  Write(20);
  EXPECT_EQ(cluster.machine(cluster.Leader()).TakeView()->Find("nobody's"), nullptr);
}

// Goal:   once a leader knows that its state is not everybody's, no write is told what it came to there.
// Method: writes are under way all the time, and each message is a step of its own, so that some are
//         committed between that and the end of its leadership.
TEST_F(ComparisonClusterTest, ALeaderThatDiffersAnswersNoWriteFromItsState) {
  const std::string victim = cluster.Leader();
  Change(victim);
  std::vector<WriteOutcome> outcomes;
  for (uint64_t step = 0; cluster.life(victim).differing.empty(); ++step) {
    ASSERT_LT(step, 1000U);
    outcomes.push_back(cluster.life(victim).Set("nobody's", Revision(0)));
    for (const std::string& name : cluster.names()) cluster.life(name).RunAll();
    cluster.DeliverAny(step, {});
  }
  std::erase_if(outcomes, [](const WriteOutcome& outcome) { return outcome->has_value(); });
  ASSERT_FALSE(outcomes.empty());
  // While it waits for another leader, it takes nothing more.
  outcomes.push_back(cluster.life(victim).Set("k"));
  const size_t last = outcomes.size() - 1;
  cluster.RunUntil([&] { return outcomes[last]->has_value(); }, "it refuses a write");
  EXPECT_EQ((*outcomes[last])->fate, WriteResult::Fate::kNotDone);
  cluster.RunUntil([&] { return !cluster.Leader().empty() && cluster.Leader() != victim; },
                   "another leads");
  for (const WriteOutcome& outcome : outcomes) {
    ASSERT_TRUE(outcome->has_value());
    EXPECT_NE((*outcome)->fate, WriteResult::Fate::kApplied);
  }
}

TEST_F(ComparisonClusterTest, WithoutAMajorityThereIsOnlyAnAlarm) {
  cluster.Kill("n3");
  Change("n1");
  Write(20);
  // Two of three have told, and differ: nobody knows what the third has.
  EXPECT_FALSE(IsFenced("n1") || IsFenced("n2"));
  cluster.Restart("n3");
  Write(20);
  cluster.RunUntil([&] { return IsFenced("n1"); }, "two are a majority against the one");
}

}  // namespace
}  // namespace mokv::replica::testing
