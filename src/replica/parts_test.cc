// The replica's parts, one by one.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/testing/fake_clock.h"
#include "base/testing/manual_executor.h"
#include "replica/inbox.h"
#include "replica/read_gate.h"
#include "replica/reads.h"

namespace mokv::replica {
namespace {

using std::chrono::milliseconds;

TEST(Inbox, AsksForOneTurnHoweverMuchComes) {
  ManualExecutor executor;
  std::vector<int> batch;
  int turns = 0;
  Inbox<int> inbox(executor, [&] { ++turns; });
  inbox.Add(1);
  inbox.Add(2);
  inbox.Wake();
  EXPECT_EQ(executor.pending(), 1u);
  executor.RunAll();
  inbox.Take(batch);
  EXPECT_EQ(batch, (std::vector<int>{1, 2}));
  batch.clear();
  inbox.Wake();
  executor.RunAll();
  EXPECT_EQ(turns, 2);
  inbox.Take(batch);
  EXPECT_TRUE(batch.empty());
}

class ReadGateTest : public ::testing::Test {
 protected:
  bool Linearizable() const { return gate.MayReadNow({}); }

  FakeClock clock;
  ReadGate gate{clock};
};

TEST_F(ReadGateTest, IsClosedUntilTheStateIsWhole) {
  gate.RaiseLease(MonotonicTime::Max());
  EXPECT_FALSE(Linearizable());
  EXPECT_FALSE(gate.MayReadNow({.linearizable = false}));
  gate.Open();
  EXPECT_TRUE(Linearizable());
  gate.Close();
  EXPECT_FALSE(Linearizable());
  EXPECT_FALSE(gate.MayReadNow({.linearizable = false}));
}

TEST_F(ReadGateTest, LetsNobodyReadWhenTheLeaseIsOver) {
  gate.Open();
  EXPECT_FALSE(Linearizable()) << "there has been none";
  gate.RaiseLease(clock.now + milliseconds(10));
  EXPECT_TRUE(Linearizable());
  clock.now = clock.now + milliseconds(10);
  EXPECT_FALSE(Linearizable());
  EXPECT_TRUE(gate.MayReadNow({.linearizable = false}));
}

TEST_F(ReadGateTest, OnlyLowersTheLeaseBeforeMessagesLeave) {
  gate.Open();
  gate.RaiseLease(clock.now + milliseconds(10));
  gate.LowerLease(clock.now + milliseconds(20));
  clock.now = clock.now + milliseconds(15);
  EXPECT_FALSE(Linearizable());
  gate.RaiseLease(clock.now + milliseconds(10));
  gate.LowerLease(MonotonicTime());
  EXPECT_FALSE(Linearizable());
}

// Goal: what others may have seen committed is not missing in a read under the lease.
TEST_F(ReadGateTest, WaitsForWhatIsPromisedToBeShown) {
  gate.Open();
  gate.RaiseLease(MonotonicTime::Max());
  gate.Promise(Index(7));
  EXPECT_FALSE(Linearizable());
  EXPECT_TRUE(gate.MayReadNow({.linearizable = false})) << "it wants nothing that is new";
  gate.OnApplied(Index(7), Revision(5));
  EXPECT_TRUE(Linearizable());
}

TEST_F(ReadGateTest, KnowsWhichRevisionIsShown) {
  gate.Open();
  gate.OnApplied(Index(7), Revision(5));
  EXPECT_TRUE(gate.MayReadNow({.linearizable = false, .min_revision = Revision(5)}));
  EXPECT_FALSE(gate.MayReadNow({.linearizable = false, .min_revision = Revision(6)}));
}

class ReadsTest : public ::testing::Test {
 protected:
  // Adds a read; its answer goes to `answers`.
  void Add(ReadRequirement requirement, MonotonicTime give_up_at = MonotonicTime::Max()) {
    ASSERT_TRUE(reads.Admit().ok());
    reads.Add({requirement, give_up_at, [this](const absl::Status& status) {
                 answers.push_back(std::string(status.message()));
               }});
  }
  std::optional<raft::Read> Ask() {
    return reads.Ask([this] { return ++last_id; });
  }
  static raft::ReadResult Released(const raft::Read& question, uint64_t index) {
    return {.request = question.request, .index = Index(index)};
  }

  static constexpr const char* kDone = "";
  uint64_t last_id = 0;
  Reads reads{4};
  std::vector<std::string> answers;
};

TEST_F(ReadsTest, ShareOneQuestionAndWaitForItsIndex) {
  Add({});
  Add({});
  const auto question = Ask();
  ASSERT_TRUE(question.has_value());
  EXPECT_FALSE(Ask().has_value());
  reads.OnAnswer(Released(*question, 5), false);
  reads.Release({Index(4), Revision(0)});
  EXPECT_TRUE(answers.empty());
  reads.Release({Index(5), Revision(0)});
  EXPECT_EQ(answers, (std::vector<std::string>{kDone, kDone}));
  EXPECT_EQ(reads.size(), 0u);
  EXPECT_EQ(reads.questions(), 1u);
}

TEST_F(ReadsTest, AskAgainAfterARefusalWhenThatHelps) {
  Add({});
  auto question = Ask();
  const raft::ReadResult refused{
      .request = question->request, .index = {}, .refusal = raft::Refusal::kNoLeader};
  reads.OnAnswer(refused, /*ask_again=*/false);
  EXPECT_FALSE(Ask().has_value());
  reads.Unblock();
  question = Ask();
  ASSERT_TRUE(question.has_value());
  reads.OnAnswer({.request = question->request, .index = {}, .refusal = raft::Refusal::kNoLeader},
                 /*ask_again=*/true);
  EXPECT_TRUE(Ask().has_value());
}

TEST_F(ReadsTest, WaitForTheirRevisionBehindTheIndex) {
  Add({.min_revision = Revision(3)});
  Add({.linearizable = false, .min_revision = Revision(2)});
  const auto question = Ask();
  reads.OnAnswer(Released(*question, 1), false);
  reads.Release({Index(1), Revision(1)});
  EXPECT_TRUE(answers.empty());
  reads.Release({Index(2), Revision(2)});
  EXPECT_EQ(answers.size(), 1u);
  reads.Release({Index(3), Revision(3)});
  EXPECT_EQ(answers.size(), 2u);
}

TEST_F(ReadsTest, ExpireEachWithItsReasonWhereverTheyWait) {
  const MonotonicTime soon = MonotonicTime() + milliseconds(1);
  Add({}, soon);  // Asked.
  const auto question = Ask();
  Add({}, soon);  // Not asked yet.
  Add({.linearizable = false, .min_revision = Revision(9)}, soon);
  Add({});
  EXPECT_TRUE(absl::IsResourceExhausted(reads.Admit()));
  reads.Expire(soon, [](const WaitingRead& read) {
    return absl::UnavailableError(read.requirement.linearizable ? "leader" : "revision");
  });
  EXPECT_EQ(answers, (std::vector<std::string>{"leader", "leader", "revision"}));
  EXPECT_TRUE(reads.Admit().ok());
  reads.OnAnswer(Released(*question, 1), false);  // Nobody waits for it any more.
  reads.FailAll(absl::UnavailableError("gone"));
  EXPECT_EQ(answers.back(), "gone");
}

// Goal: who is answered may read again from within its answer.
TEST_F(ReadsTest, AnAnswerMayAddARead) {
  ASSERT_TRUE(reads.Admit().ok());
  reads.Add({{.linearizable = false}, MonotonicTime::Max(), [this](const absl::Status&) {
               Add({.linearizable = false});
             }});
  reads.Release({});
  EXPECT_TRUE(answers.empty());
  reads.Release({});
  EXPECT_EQ(answers.size(), 1u);
}

}  // namespace
}  // namespace mokv::replica
