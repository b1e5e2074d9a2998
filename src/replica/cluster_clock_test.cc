// Cluster time, keep-alives, and writes in a session: what a leader writes by itself, and what
// survives broken connections and changes of leaders.
#include "replica/cluster_clock.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "replica/testing/cluster.h"

namespace mokv::replica {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ReplicaCluster;
using testing::WriteOutcome;
using Fate = WriteResult::Fate;
using Outcome = machine::Result::Outcome;

// --- the parts

class ClusterClockTest : public ::testing::Test {
 protected:
  void Apply(const machine::Command& command) {
    const Entry entry{
        .index = Index(++last_index),
        .type = EntryType::kCommand,
        .payload = std::make_shared<const std::string>(machine::EncodeCommand(command))};
    std::vector<machine::Result> results;
    ASSERT_TRUE(machine.Apply({&entry, 1}, results).ok());
  }
  // How many beats come within so long, asked every 50 ms; their steps are applied at once.
  int Beats(Duration duration) {
    int beats = 0;
    for (const MonotonicTime end = now + duration; now < end;) {
      now = now + milliseconds(50);
      if (!clock.IsDue(now, false)) continue;
      ++beats;
      if (const auto step = clock.TakeStep()) {
        Apply(step->command);
        clock.OnStepDecided(step->number);
      }
    }
    return beats;
  }

  machine::Machine machine;
  ClusterClock clock{machine};
  MonotonicTime now;
  uint64_t last_index = 0;
};

TEST_F(ClusterClockTest, BeatsOnlyWhileSomethingCanExpire) {
  EXPECT_EQ(Beats(seconds(10)), 0);
  Apply(machine::OpenSession{3000, "ann"});
  EXPECT_EQ(Beats(seconds(2)), 2);
  EXPECT_EQ(machine.time(), ClusterTime(2000));
  EXPECT_EQ(Beats(seconds(10)), 2) << "then it has expired";
  EXPECT_EQ(machine.time(), ClusterTime(4000));
}

TEST_F(ClusterClockTest, TheFirstStepComesNoEarlierThanAStepAfterTheFirstSession) {
  EXPECT_EQ(Beats(seconds(10)), 0);
  Apply(machine::OpenSession{3000, "ann"});
  EXPECT_EQ(Beats(milliseconds(900)), 0);
}

TEST_F(ClusterClockTest, DoesNotMakeUpForATimeInWhichNothingWasWritten) {
  Apply(machine::OpenSession{60'000, "ann"});
  EXPECT_EQ(Beats(seconds(1)), 0) << "it has only begun to look";
  now = now + seconds(100);
  EXPECT_TRUE(clock.IsDue(now, false));
  const auto step = clock.TakeStep();
  ASSERT_TRUE(step.has_value());
  EXPECT_EQ(step->command.to, ClusterTime(1000));
  EXPECT_EQ(Beats(seconds(5)), 0) << "the step is on its way";
  Apply(step->command);
  clock.OnStepDecided(step->number);
  EXPECT_EQ(Beats(seconds(1)), 1);
  EXPECT_EQ(machine.time(), ClusterTime(2000));
}

TEST_F(ClusterClockTest, ANewLeadershipBeginsASecondAnew) {
  Apply(machine::OpenSession{60'000, "ann"});
  Beats(milliseconds(50));
  now = now + milliseconds(900);
  clock.Stop();
  now = now + milliseconds(900);
  EXPECT_EQ(Beats(milliseconds(950)), 0);
}

TEST_F(ClusterClockTest, AStepOfAnEarlierLeadershipDoesNotEndTheWaitForThisOnes) {
  Apply(machine::OpenSession{60'000, "ann"});
  Beats(milliseconds(50));
  now = now + seconds(1);
  ASSERT_TRUE(clock.IsDue(now, false));
  const auto lost = clock.TakeStep();
  clock.Stop();
  Beats(milliseconds(50));
  now = now + seconds(1);
  ASSERT_TRUE(clock.IsDue(now, false));
  const auto step = clock.TakeStep();
  clock.OnStepDecided(lost->number);
  EXPECT_EQ(Beats(seconds(3)), 0);
  clock.OnStepDecided(step->number);
  EXPECT_EQ(Beats(seconds(1)), 1);
}

TEST(GatherKeepAlives, MakesOneOfAllAndGivesEachItsPart) {
  const auto keep_alive = [](std::vector<machine::KeepAlive::Session> sessions) {
    return Write{.command = std::make_shared<const std::string>(
                     machine::EncodeCommand(machine::KeepAlive{std::move(sessions)}))};
  };
  std::vector<Write> writes;
  writes.push_back(keep_alive({{SessionId(1), "ann"}}));
  writes.push_back(keep_alive({{SessionId(2), "bob"}, {SessionId(3), "ann"}}));
  const std::vector<GatheredKeepAlives> gathered = Gather(std::move(writes));
  ASSERT_EQ(gathered.size(), 1u);
  ASSERT_EQ(gathered[0].command.sessions.size(), 3u);
  EXPECT_EQ(gathered[0].command.sessions[1].subject, "bob");
  const machine::Result result{.ttls_ms = {10, 20, 30}};
  EXPECT_EQ(PartOf(result, gathered[0], 0).ttls_ms, std::vector<uint64_t>{10});
  EXPECT_EQ(PartOf(result, gathered[0], 1).ttls_ms, (std::vector<uint64_t>{20, 30}));
}

TEST(GatherKeepAlives, MakesSeveralOfVeryMany) {
  std::vector<Write> writes;
  for (uint64_t i = 0; i <= machine::kKeptAliveTogetherMax; ++i) {
    writes.push_back({.command = std::make_shared<const std::string>(machine::EncodeCommand(
                          machine::KeepAlive{{{SessionId(i + 1), "ann"}}}))});
  }
  const std::vector<GatheredKeepAlives> gathered = Gather(std::move(writes));
  ASSERT_EQ(gathered.size(), 2u);
  EXPECT_EQ(gathered[1].writes.size(), 1u);
  EXPECT_TRUE(machine::CheckCommand(gathered[0].command).ok());
}

// --- in a cluster

class SessionClusterTest : public ::testing::Test {
 protected:
  SessionClusterTest() { cluster.Form(); }

  WriteResult Answered(const WriteOutcome& outcome) {
    cluster.RunUntil([&] { return outcome->has_value(); }, "the write is answered");
    return outcome->value_or(WriteResult());
  }
  SessionId Open(const std::string& name, uint64_t ttl_ms = 3000) {
    const WriteResult result =
        Answered(cluster.life(name).Propose(machine::OpenSession{ttl_ms, "ann"}));
    EXPECT_EQ(result.fate, Fate::kApplied) << result.reason;
    EXPECT_NE(result.applied.session, SessionId(0));
    return result.applied.session;
  }
  static machine::Command SetIn(SessionId session, uint64_t sequence, const std::string& key) {
    machine::Command command = store::Set{key, "value"};
    command.session = machine::SessionContext{session, sequence, 0, "ann"};
    return command;
  }
  static machine::Command KeepAliveOf(SessionId session) {
    return machine::KeepAlive{{{session, "ann"}}};
  }
  void NewLeader() {
    const std::string old = cluster.Leader();
    cluster.Kill(old);
    cluster.RunUntil([&] { return !cluster.Leader().empty(); }, "a new leader");
    cluster.Restart(old);
  }
  void ExpectEqualEverywhere() {
    cluster.RunUntil(
        [&] {
          return cluster.machine("n1").digest() == cluster.machine("n2").digest() &&
                 cluster.machine("n1").digest() == cluster.machine("n3").digest();
        },
        "all have the same");
  }

  ReplicaCluster cluster{3};
};

TEST_F(SessionClusterTest, AWriteThatComesAgainElsewhereGetsTheFirstAnswer) {
  const SessionId session = Open("n2");
  const WriteResult first = Answered(cluster.life("n1").Propose(SetIn(session, 1, "k")));
  ASSERT_EQ(first.fate, Fate::kApplied);
  EXPECT_EQ(Answered(cluster.life("n3").Propose(SetIn(session, 1, "k"))).applied, first.applied);
  NewLeader();
  EXPECT_EQ(Answered(cluster.life("n2").Propose(SetIn(session, 1, "k"))).applied, first.applied);
  ExpectEqualEverywhere();
}

TEST_F(SessionClusterTest, ASessionExpiresEverywhereAtOnceAndNotBeforeItsTime) {
  const SessionId session = Open("n2", 3000);
  cluster.Run(milliseconds(2900));
  EXPECT_EQ(cluster.machine("n3").sessions(), 1u);
  cluster.Run(milliseconds(2000));
  EXPECT_EQ(cluster.machine("n1").sessions(), 0u);
  const WriteResult late = Answered(cluster.life("n3").Propose(SetIn(session, 1, "k")));
  EXPECT_EQ(late.applied.outcome, Outcome::kNoSession);
  ExpectEqualEverywhere();
}

TEST_F(SessionClusterTest, WithoutSessionsNothingIsWritten) {
  Open("n1", 1000);
  cluster.Run(seconds(5));
  const Index last = cluster.replica("n1").report().last_index;
  cluster.Run(seconds(30));
  EXPECT_EQ(cluster.replica("n1").report().last_index, last);
}

TEST_F(SessionClusterTest, KeepAlivesOfASecondAreOneEntry) {
  std::vector<SessionId> sessions;
  for (int i = 0; i < 30; ++i) sessions.push_back(Open("n1", 60'000));
  cluster.Run(seconds(1));
  const Index before = cluster.replica("n1").report().last_index;
  std::vector<WriteOutcome> outcomes;
  for (const SessionId session : sessions) {
    for (const char* name : {"n1", "n2"}) {
      outcomes.push_back(cluster.life(name).Propose(KeepAliveOf(session)));
    }
  }
  cluster.Run(milliseconds(1100));
  for (const WriteOutcome& outcome : outcomes) {
    ASSERT_TRUE(outcome->has_value());
    EXPECT_EQ((*outcome)->applied.ttls_ms, std::vector<uint64_t>{60'000});
  }
  // The keep-alives, and one or two steps of time.
  EXPECT_LE(cluster.replica("n1").report().last_index - before, 3u);
  EXPECT_EQ(cluster.replica("n1").report().counters.proposals_pending, 0u);
}

TEST_F(SessionClusterTest, AKeepAliveOfNoSessionIsRefused) {
  const WriteResult result = Answered(cluster.life("n2").Propose(KeepAliveOf(SessionId(77))));
  EXPECT_EQ(result.applied.ttls_ms, std::vector<uint64_t>{0});
}

TEST_F(SessionClusterTest, OneThatIsKeptAliveLives) {
  const SessionId session = Open("n1", 2000);
  for (int i = 0; i < 10; ++i) {
    cluster.Run(seconds(1));
    cluster.life("n3").Propose(KeepAliveOf(session));
  }
  EXPECT_EQ(cluster.machine("n1").sessions(), 1u);
  cluster.Run(seconds(5));
  EXPECT_EQ(cluster.machine("n1").sessions(), 0u);
}

// Goal: a change of leaders neither renews nor shortens what was left, and time without a leader
// does not count.
TEST_F(SessionClusterTest, TimeGoesOnWithTheNextLeader) {
  Open("n1", 10'000);
  cluster.Run(milliseconds(4500));
  const ClusterTime before = cluster.machine(cluster.Leader()).time();
  EXPECT_EQ(before, ClusterTime(4000));
  for (const char* name : {"n2", "n3"}) cluster.Kill(name);
  cluster.Run(seconds(60));
  for (const char* name : {"n2", "n3"}) cluster.Restart(name);
  cluster.RunUntil([&] { return !cluster.Leader().empty(); }, "a leader");
  const std::string leader = cluster.Leader();
  EXPECT_LE(cluster.machine(leader).time(), before + 1000);
  EXPECT_EQ(cluster.machine(leader).sessions(), 1u);
  cluster.Run(seconds(9));
  EXPECT_EQ(cluster.machine(cluster.Leader()).sessions(), 0u);
}

// Goal: keep-alives that a leader held when it lost its leadership are not lost.
TEST_F(SessionClusterTest, AHeldKeepAliveGoesToTheNextLeader) {
  const SessionId session = Open("n1", 5000);
  cluster.Run(milliseconds(100));
  const WriteOutcome here = cluster.life("n1").Propose(KeepAliveOf(session));
  const WriteOutcome there = cluster.life("n2").Propose(KeepAliveOf(session));
  cluster.Settle();
  EXPECT_FALSE(here->has_value() || there->has_value()) << "it is held";
  const auto transfer =
      cluster.life("n1").Request({.kind = AdminRequest::Kind::kTransfer, .name = "n3"});
  cluster.RunUntil([&] { return cluster.Leader() == "n3"; }, "n3 leads");
  for (const WriteOutcome& outcome : {here, there}) {
    const WriteResult result = Answered(outcome);
    EXPECT_EQ(result.fate, Fate::kApplied) << result.reason;
    EXPECT_EQ(result.applied.ttls_ms, std::vector<uint64_t>{5000});
  }
}

TEST_F(SessionClusterTest, AHeldKeepAliveIsToldWhenItsTimeIsUp) {
  const SessionId session = Open("n1", 5000);
  cluster.Run(milliseconds(100));
  const WriteOutcome keep_alive =
      cluster.life("n1").Propose(KeepAliveOf(session), milliseconds(200));
  cluster.Run(milliseconds(300));
  ASSERT_TRUE(keep_alive->has_value());
  EXPECT_EQ((*keep_alive)->fate, Fate::kNotDone);
}

// Goal: a forwarded write in a session is sent again when its connection broke, and happens once
// though the leader got both.
TEST_F(SessionClusterTest, ABrokenConnectionDoesNotEndAWriteInASession) {
  const SessionId session = Open("n1", 60'000);
  cluster.CutOneWay("n1", "n2");  // The write arrives, its answer does not.
  const WriteOutcome write = cluster.life("n2").Propose(SetIn(session, 1, "k"));
  cluster.Settle();
  EXPECT_FALSE(write->has_value());
  EXPECT_EQ(cluster.machine("n1").revision(), Revision(1));
  cluster.Heal();
  cluster.Break("n1", "n2");
  const WriteResult result = Answered(write);
  EXPECT_EQ(result.fate, Fate::kApplied) << result.reason;
  EXPECT_EQ(result.applied.revision, Revision(1));
  EXPECT_EQ(cluster.machine("n1").revision(), Revision(1));
}

// Goal: what was sent once and then found nobody is not told as not done.
TEST_F(SessionClusterTest, AWriteInASessionThatIsNotSentAgainInTimeIsOfUnknownFate) {
  const SessionId session = Open("n1", 60'000);
  cluster.CutOneWay("n1", "n2");
  const WriteOutcome write = cluster.life("n2").Propose(SetIn(session, 1, "k"), seconds(3));
  cluster.Settle();
  EXPECT_EQ(cluster.machine("n1").revision(), Revision(1));
  cluster.Kill("n1");
  cluster.Kill("n3");
  cluster.Run(seconds(4));
  ASSERT_TRUE(write->has_value());
  EXPECT_EQ((*write)->fate, Fate::kUnknown);
}

// Goal: the first attempt was carried out, and its answer went with the session.
TEST_F(SessionClusterTest, ASessionThatEndsBetweenTwoAttemptsLeavesTheFateUnknown) {
  const SessionId session = Open("n1", 60'000);
  cluster.CutOneWay("n1", "n2");
  const WriteOutcome write = cluster.life("n2").Propose(SetIn(session, 1, "k"));
  cluster.Settle();
  const WriteResult closed =
      Answered(cluster.life("n1").Propose(machine::CloseSession{session, "ann"}));
  EXPECT_EQ(closed.applied.outcome, Outcome::kApplied);
  cluster.Heal();
  cluster.Break("n1", "n2");
  const WriteResult result = Answered(write);
  EXPECT_EQ(result.fate, Fate::kUnknown);
  EXPECT_EQ(result.reason.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(SessionClusterTest, OnlyTheLeaderItselfMovesTheTime) {
  const WriteResult result =
      Answered(cluster.life("n2").Propose(machine::AdvanceTime{ClusterTime(1'000'000)}));
  EXPECT_EQ(result.fate, Fate::kNotDone);
  EXPECT_EQ(result.reason.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(cluster.machine("n1").time(), ClusterTime(0));
}

// Goal: nobody waits for ever for a keep-alive that a deposed leader had put into its log.
TEST_F(SessionClusterTest, AGatheredKeepAliveOfADeposedLeaderIsAnswered) {
  const SessionId session = Open("n1", 60'000);
  cluster.Run(milliseconds(800));  // The next beat comes before it resigns.
  cluster.Isolate("n1");
  const WriteOutcome keep_alive = cluster.life("n1").Propose(KeepAliveOf(session), seconds(4));
  cluster.Run(seconds(6));
  ASSERT_TRUE(keep_alive->has_value());
  EXPECT_EQ((*keep_alive)->fate, Fate::kUnknown);
}

// Goal:   a node that led and was removed is idle some day. (The simulator found that it never was.)
// Method: its last step of time is in its log alone when the others remove it.
TEST_F(SessionClusterTest, AFormerLeaderForgetsItsStepOfTime) {
  Open("n1", 60'000);
  cluster.Run(milliseconds(800));
  cluster.Isolate("n1");
  cluster.Run(milliseconds(300));
  EXPECT_EQ(cluster.replica("n1").report().counters.proposals_pending, 1u);
  cluster.Run(seconds(6));
  EXPECT_EQ(cluster.replica("n1").report().counters.proposals_pending, 0u);
}

TEST_F(SessionClusterTest, ANodeThatIsFencedLeavesNoKeepAliveWaiting) {
  const SessionId session = Open("n1", 60'000);
  const WriteOutcome held = cluster.life("n1").Propose(KeepAliveOf(session));
  cluster.Settle();
  cluster.replica("n1").Fence("a test");
  cluster.Settle();
  ASSERT_TRUE(held->has_value());
  EXPECT_EQ((*held)->fate, Fate::kNotDone);
}

}  // namespace
}  // namespace mokv::replica
