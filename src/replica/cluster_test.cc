// Several replicas with real logs and stores: what clients are told while nodes die, links break
// and leaders change.
#include "replica/testing/cluster.h"

#include <gtest/gtest.h>

#include <variant>

#include "base/status.h"

namespace mokv::replica {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ReplicaCluster;
using testing::StatusOutcome;
using testing::WriteOutcome;
using Fate = WriteResult::Fate;

bool IsApplied(const WriteOutcome& outcome) {
  return outcome->has_value() && (*outcome)->fate == Fate::kApplied;
}
bool IsOk(const StatusOutcome& outcome) { return outcome->has_value() && (*outcome)->ok(); }

class ClusterTest : public ::testing::Test {
 protected:
  ClusterTest() { cluster.Form(); }

  bool Holds(const std::string& name, const std::string& key) {
    return cluster.machine(name).TakeView()->Find(key) != nullptr;
  }
  void Write(const std::string& name, const std::string& key) {
    const WriteOutcome outcome = cluster.life(name).Set(key);
    cluster.RunUntil([&] { return outcome->has_value(); }, "the write is answered");
    ASSERT_TRUE(IsApplied(outcome)) << (*outcome)->reason;
  }
  void ExpectEverywhere(const std::string& key) {
    cluster.RunUntil([&] { return Holds("n1", key) && Holds("n2", key) && Holds("n3", key); },
                     "it is on all nodes");
  }

  ReplicaCluster cluster{3};
};

TEST_F(ClusterTest, WritesReachEverybodyThroughAnybody) {
  Write("n1", "through the leader");
  Write("n2", "through a follower");
  ExpectEverywhere("through the leader");
  ExpectEverywhere("through a follower");
  EXPECT_EQ(cluster.machine("n1").digest(), cluster.machine("n3").digest());
}

// Goal: who has an answer finds in the counters what it took, and waits for no tick.
TEST_F(ClusterTest, CountersAreShownBeforeAnAnswer) {
  Replica& follower = cluster.replica("n2");
  std::optional<Counters> seen;
  follower.Propose(
      {.command = store::Set{"k", "v"}, .give_up_at = cluster.clock().now + seconds(1)},
      [&](const WriteResult&) { seen = follower.report().counters; });
  cluster.Settle();
  ASSERT_TRUE(seen.has_value());
  EXPECT_EQ(seen->forwarded, 1u);
  EXPECT_EQ(cluster.replica("n1").report().counters.forwarded_here, 1u);
}

TEST_F(ClusterTest, WhoDoesNotLeadProposesNothingOfItsOwn) {
  std::optional<WriteResult> own;
  cluster.replica("n2").ProposeHere(store::Set{"own", "value"},
                                    [&](const WriteResult& result) { own = result; });
  cluster.Settle();
  ASSERT_TRUE(own.has_value());
  EXPECT_EQ(own->fate, Fate::kNotDone);
  EXPECT_EQ(own->reason.code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(Holds("n1", "own"));
}

TEST_F(ClusterTest, AFailedConditionIsToldToTheOneWhoAsked) {
  Write("n1", "k");
  const WriteOutcome outcome = cluster.life("n3").Set("k", Revision(77));
  cluster.RunUntil([&] { return outcome->has_value(); }, "it is answered");
  EXPECT_EQ((*outcome)->applied.outcome, machine::Result::Outcome::kConditionFailed);
  EXPECT_EQ((*outcome)->applied.found_revision, Revision(1));
}

// Goal: a linearizable read on a follower sees what was acknowledged before it began.
TEST_F(ClusterTest, AFollowerReadsWhatWasAcknowledged) {
  Write("n1", "k");
  EXPECT_FALSE(cluster.replica("n2").CanReadNow({}));
  const StatusOutcome one = cluster.life("n2").Read();
  const StatusOutcome other = cluster.life("n2").Read();
  cluster.Settle();
  EXPECT_TRUE(IsOk(one) && IsOk(other));
  EXPECT_TRUE(Holds("n2", "k"));
  EXPECT_EQ(cluster.replica("n2").report().counters.read_groups, 1u) << "they share a question";
}

TEST_F(ClusterTest, ALeaderThatIsCutOffAnswersNoRead) {
  Write("n1", "k");
  cluster.Isolate("n1");
  const StatusOutcome read = cluster.life("n1").Read();
  EXPECT_FALSE(cluster.replica("n1").CanReadNow({}));
  const WriteOutcome stuck = cluster.life("n1").Set("stuck");
  cluster.RunUntil([&] { return !cluster.Leader().empty() && cluster.Leader() != "n1"; },
                   "another leader");
  Write(cluster.Leader(), "k2");
  EXPECT_FALSE(read->has_value());
  cluster.Run(seconds(5));
  ASSERT_TRUE(read->has_value());
  EXPECT_EQ((*read)->code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(stuck->has_value());
  EXPECT_EQ((*stuck)->fate, Fate::kUnknown);
  cluster.Heal();
  ExpectEverywhere("k2");
  EXPECT_FALSE(Holds("n2", "stuck"));
}

// Goal: who has a leader is not told that there is none.
TEST_F(ClusterTest, AReadThatRunsOutOfTimeHearsWhatItWaitedFor) {
  Write("n1", "k");
  cluster.CutOneWay("n2", "n1");
  const StatusOutcome read = cluster.life("n2").Read({}, std::chrono::milliseconds(300));
  cluster.Run(std::chrono::milliseconds(400));
  ASSERT_TRUE(read->has_value());
  EXPECT_EQ(**read, absl::UnavailableError("the leader, n1, has not confirmed the read in time"));
}

// Goal: what a leader appended and never got to others is proposed again by itself when somebody
// else's entry takes its place, if there is still time.
TEST_F(ClusterTest, AWriteThatWasSupersededGoesToTheNewLeader) {
  cluster.Isolate("n1");
  const WriteOutcome waiting = cluster.life("n1").Propose(store::Set{"k", "v", {}}, seconds(60));
  cluster.RunUntil([&] { return !cluster.Leader().empty() && cluster.Leader() != "n1"; },
                   "another leader");
  Write(cluster.Leader(), "other");
  EXPECT_FALSE(waiting->has_value());
  cluster.Heal();
  cluster.RunUntil([&] { return waiting->has_value(); }, "it is answered");
  EXPECT_TRUE(IsApplied(waiting)) << (*waiting)->reason;
  ExpectEverywhere("k");
}

// Goal:   who waits is answered although nothing takes the place of what was lost.
// Method: a leader loses more entries than others write, and leads again; no client writes any
// more.
TEST_F(ClusterTest, AWriteThatNothingTookThePlaceOfIsAnswered) {
  cluster.Isolate("n1");
  for (int i = 0; i < 3; ++i) cluster.life("n1").Set("short", {});
  const WriteOutcome last = cluster.life("n1").Propose(store::Set{"k", "v", {}}, seconds(8));
  cluster.RunUntil([&] { return !cluster.Leader().empty() && cluster.Leader() != "n1"; },
                   "another leader");
  cluster.Run(seconds(6));
  EXPECT_FALSE(last->has_value());
  cluster.Heal();
  cluster.Run(milliseconds(200));
  const StatusOutcome transfer =
      cluster.life(cluster.Leader()).Request({.kind = AdminRequest::Kind::kTransfer, .name = "n1"});
  cluster.RunUntil([&] { return cluster.Leader() == "n1"; }, "it leads again");
  cluster.RunUntil([&] { return last->has_value(); }, "it is answered");
  EXPECT_TRUE(IsApplied(last)) << (*last)->reason;
  EXPECT_EQ(cluster.replica("n1").report().counters.proposals_pending, 0u);
}

TEST_F(ClusterTest, NothingAcknowledgedIsLostWhenTheLeaderDies) {
  for (int round = 0; round < 5; ++round) {
    const std::string key = fmt::format("k{}", round);
    const std::string leader = cluster.Leader();
    Write(leader, key);
    cluster.Kill(leader);
    cluster.RunUntil([&] { return !cluster.Leader().empty(); }, "a new leader");
    Write(cluster.Leader(), key + " later");
    EXPECT_TRUE(Holds(cluster.Leader(), key));
    cluster.Restart(leader);
    ExpectEverywhere(key + " later");
  }
}

// Goal: with the hint of closed connections a new leader is there long before the election timeout.
TEST_F(ClusterTest, ADeadLeaderIsReplacedAtOnce) {
  cluster.Kill("n1");
  const MonotonicTime killed = cluster.clock().now;
  cluster.RunUntil([&] { return !cluster.Leader().empty(); }, "a new leader");
  EXPECT_LT(cluster.clock().now - killed, milliseconds(100));
}

// Goal: a node that was busy for longer than an election timeout, applying much or asleep, hears
// what its leader has sent meanwhile before it takes it for dead.
TEST_F(ClusterTest, ANodeThatWasBusyListensBeforeItStands) {
  bool stood = false;
  cluster.set_on_send([&](const std::string& name, const std::vector<raft::Message>& messages) {
    for (const raft::Message& message : messages) {
      stood |= name == "n3" && std::holds_alternative<raft::PreVoteRequest>(message.body);
    }
  });
  const MonotonicTime end = cluster.clock().now + seconds(2);
  while (cluster.clock().now < end) {
    cluster.Advance(milliseconds(10));
    do {
      for (const char* other : {"n1", "n2"}) {
        cluster.life(other).RingAlarm();
        cluster.life(other).RunAll();
      }
    } while (cluster.DeliverAny(0, /*deaf=*/{"n3"}));
  }
  testing::NodeLife& busy = cluster.life("n3");
  busy.RingAlarm();
  // As its thread does it: what was posted; once more, what that has posted; then the sockets.
  for (int turn = 0; turn < 2; ++turn) {
    for (size_t i = busy.replica_thread.pending(); i > 0; --i) busy.replica_thread.RunOne();
  }
  while (cluster.DeliverAny(0, /*deaf=*/{"n1", "n2"})) {
  }
  busy.RunAll();
  EXPECT_FALSE(stood);
  EXPECT_TRUE(busy.serving);
  // Where nothing has come, it does.
  cluster.Isolate("n3");
  cluster.Run(seconds(2));
  EXPECT_TRUE(stood);
}

TEST_F(ClusterTest, EverybodyRestartsAtOnce) {
  Write("n2", "k");
  for (const char* name : {"n1", "n2", "n3"}) cluster.Kill(name);
  for (const char* name : {"n1", "n2", "n3"}) cluster.Restart(name);
  cluster.RunUntil([&] { return !cluster.Leader().empty(); }, "a leader");
  ExpectEverywhere("k");
  Write("n3", "later");
}

TEST_F(ClusterTest, WithoutALeaderWritesWaitAndAreCertainlyNotDone) {
  cluster.Kill("n1");
  cluster.Kill("n3");
  const WriteOutcome write = cluster.life("n2").Propose(store::Set{"k", "v", {}}, seconds(3));
  cluster.Run(seconds(2));
  const StatusOutcome read = cluster.life("n2").Read({}, seconds(1));
  EXPECT_FALSE(write->has_value());
  EXPECT_FALSE(cluster.life("n2").serving);
  cluster.Run(seconds(2));
  ASSERT_TRUE(write->has_value() && read->has_value());
  EXPECT_NE((*write)->fate, Fate::kApplied);
  EXPECT_EQ((*read)->code(), absl::StatusCode::kUnavailable);
}

TEST_F(ClusterTest, AWriteWaitsThroughAChangeOfLeaders) {
  const StatusOutcome transfer =
      cluster.life("n3").Request({.kind = AdminRequest::Kind::kTransfer, .name = "n2"});
  const WriteOutcome write = cluster.life("n1").Set("k");
  cluster.RunUntil([&] { return transfer->has_value() && write->has_value(); }, "both are done");
  EXPECT_TRUE(IsOk(transfer)) << **transfer;
  EXPECT_TRUE(IsApplied(write)) << (*write)->reason;
  cluster.RunUntil([&] { return cluster.Leader() == "n2"; }, "n2 leads");
}

// Goal:   a write that reaches an old leader too late goes to the new one at once.
// Method: it is on its way while leadership moves. No time passes, so that what is only tried again
//         at the next tick stays without an answer.
TEST_F(ClusterTest, AWriteThatComesTooLateGoesToTheNewLeaderAtOnce) {
  cluster.Hold("n1", "n2");
  const WriteOutcome write = cluster.life("n2").Set("k");
  const StatusOutcome transfer =
      cluster.life("n1").Request({.kind = AdminRequest::Kind::kTransfer, .name = "n3"});
  cluster.Settle();
  EXPECT_TRUE(IsOk(transfer));
  EXPECT_EQ(cluster.replica("n2").report().leader, "n3");
  cluster.Release();
  cluster.Settle();
  EXPECT_TRUE(IsApplied(write));
}

TEST_F(ClusterTest, ALeaderStepsAsideAndGoesOnForwarding) {
  auto aside = std::make_shared<std::optional<absl::Status>>();
  cluster.replica("n1").StepAside(cluster.clock().now + seconds(1),
                                  [aside](const absl::Status& status, bool) { *aside = status; });
  cluster.RunUntil([&] { return aside->has_value(); }, "it steps aside");
  EXPECT_TRUE((*aside)->ok()) << **aside;
  Write("n1", "k");
  EXPECT_NE(cluster.Leader(), "n1");
}

TEST_F(ClusterTest, IsIdleWhenTheLastWriteIsAnswered) {
  bool idle = false;
  cluster.life("n1").disk_stalls = true;
  cluster.life("n2").disk_stalls = true;
  const WriteOutcome write = cluster.life("n1").Set("k");
  cluster.Settle();
  cluster.replica("n1").WhenIdle([&] { idle = true; });
  cluster.Settle();
  EXPECT_FALSE(idle);
  cluster.life("n2").disk_stalls = false;
  cluster.Settle();
  EXPECT_TRUE(idle && IsApplied(write));
  idle = false;
  cluster.replica("n1").WhenIdle([&] { idle = true; });
  cluster.Settle();
  EXPECT_TRUE(idle);
}

TEST_F(ClusterTest, AWipedNodeCountsForNothingUntilTheOldOneIsRemoved) {
  Write("n1", "k");
  cluster.Wipe("n3");
  cluster.Run(seconds(2));
  EXPECT_FALSE(Holds("n3", "k"));
  const AdminRequest add{
      .kind = AdminRequest::Kind::kAddMember, .name = "n3", .rpc_address = "n3:8400"};
  const StatusOutcome refused = cluster.life("n2").Request(add);
  cluster.RunUntil([&] { return refused->has_value(); }, "it is answered");
  EXPECT_EQ((*refused)->code(), absl::StatusCode::kFailedPrecondition) << **refused;
  const StatusOutcome removed =
      cluster.life("n2").Request({.kind = AdminRequest::Kind::kRemoveMember, .name = "n3"});
  cluster.RunUntil([&] { return removed->has_value(); }, "it is removed");
  ASSERT_TRUE(IsOk(removed)) << **removed;
  const StatusOutcome added = cluster.life("n2").Request(add);
  cluster.RunUntil([&] { return added->has_value(); }, "it is added");
  ASSERT_TRUE(IsOk(added)) << **added;
  ExpectEverywhere("k");
}

// Goal:   one request puts a rebuilt node in the place of what it was, once that is silent; not in
//         anybody else's place.
// Method: n3 is wiped while n1 leads, asks too early, and again after an election timeout.
TEST_F(ClusterTest, ARebuiltNodeTakesThePlaceOfWhatItWas) {
  Write("n1", "k");
  const AdminRequest add{.kind = AdminRequest::Kind::kAddMember,
                         .name = "n3",
                         .rpc_address = "n3:8400",
                         .automatic = true};
  const auto ask = [&] {
    const StatusOutcome answered = cluster.life("n2").Request(add);
    cluster.RunUntil([&] { return answered->has_value(); }, "it is answered");
    return **answered;
  };
  cluster.Rebuild("n3");
  const absl::Status early = ask();
  EXPECT_EQ(early.code(), absl::StatusCode::kFailedPrecondition) << early;
  EXPECT_NE(MessageOf(early).find("is alive"), std::string_view::npos) << early;
  cluster.Run(seconds(2));
  EXPECT_FALSE(Holds("n3", "k"));
  EXPECT_TRUE(ask().ok());
  ExpectEverywhere("k");
  EXPECT_EQ(cluster.replica("n1").View().members.size(), 3u);
  // One of another disk's place, and one that does not know whose.
  cluster.Rebuild("n3", "another-disk");
  cluster.Run(seconds(2));
  const absl::Status not_its = ask();
  EXPECT_EQ(not_its.code(), absl::StatusCode::kFailedPrecondition) << not_its;
  EXPECT_NE(MessageOf(not_its).find("mokvctl rebuild"), std::string_view::npos) << not_its;
  cluster.Rebuild("n3", std::string(kAnyInstance));
  EXPECT_TRUE(ask().ok());
  ExpectEverywhere("k");
}

// Goal: a node that could not be reached when it was added becomes a voter when it can be, also
// while nobody writes.
TEST_F(ClusterTest, ALearnerThatComesLateVotesWithoutFurtherWrites) {
  const StatusOutcome removed =
      cluster.life("n1").Request({.kind = AdminRequest::Kind::kRemoveMember, .name = "n3"});
  cluster.RunUntil([&] { return removed->has_value(); }, "it is removed");
  cluster.Run(seconds(1));
  cluster.Isolate("n3");
  const StatusOutcome added = cluster.life("n1").Request(
      {.kind = AdminRequest::Kind::kAddMember, .name = "n3", .rpc_address = "n3:8400"});
  cluster.RunUntil([&] { return added->has_value(); }, "it is added");
  ASSERT_TRUE(IsOk(added)) << **added;
  cluster.Run(seconds(2));
  cluster.Heal();
  const auto votes = [&] {
    for (const ClusterMember& member : cluster.replica("n1").View().members) {
      if (member.name == "n3") return member.is_voter;
    }
    return false;
  };
  cluster.RunUntil(votes, "it votes");
}

// Goal:   who is told that a node votes may rely on it: as long as the promotion is not committed,
//         the majority of the old voters may still be needed.
// Method: n3 catches up while n2, whose vote the promotion needs, hears nothing.
TEST_F(ClusterTest, AMemberIsShownAsAVoterOnceThatIsCommitted) {
  const StatusOutcome removed =
      cluster.life("n1").Request({.kind = AdminRequest::Kind::kRemoveMember, .name = "n3"});
  cluster.RunUntil([&] { return removed->has_value(); }, "it is removed");
  cluster.Isolate("n3");
  const StatusOutcome added = cluster.life("n1").Request(
      {.kind = AdminRequest::Kind::kAddMember, .name = "n3", .rpc_address = "n3:8400"});
  cluster.RunUntil([&] { return added->has_value(); }, "it is added");
  cluster.Heal();
  cluster.Cut("n1", "n2");
  cluster.Cut("n2", "n3");
  const auto votes = [&] {
    for (const ClusterMember& member : cluster.replica("n1").View().members) {
      if (member.name == "n3") return member.is_voter;
    }
    return false;
  };
  const auto promotion_is_under_way = [&] {
    const Report report = cluster.replica("n1").report();
    return report.last_index > report.commit_index;
  };
  cluster.RunUntil(promotion_is_under_way, "n1 has begun to promote it");
  cluster.Settle();
  EXPECT_FALSE(votes());
  EXPECT_TRUE(promotion_is_under_way());
  cluster.Heal();
  cluster.RunUntil(votes, "it votes");
}

TEST_F(ClusterTest, RequestsThatCannotBeAreRefusedWithAReason) {
  const auto outcome = [&](AdminRequest request) {
    const StatusOutcome answer = cluster.life("n2").Request(std::move(request));
    cluster.RunUntil([&] { return answer->has_value(); }, "it is answered");
    return **answer;
  };
  using Kind = AdminRequest::Kind;
  EXPECT_EQ(outcome({.kind = Kind::kRemoveMember, .name = "n9"}).code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(outcome({.kind = Kind::kAddMember, .name = "n9", .rpc_address = "n3:8400"}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(outcome({.kind = Kind::kTransfer, .name = "n9"}).code(), absl::StatusCode::kNotFound);
  const absl::Status nobody =
      outcome({.kind = Kind::kAddMember, .name = "n9", .rpc_address = "n9:8400"});
  EXPECT_EQ(nobody.code(), absl::StatusCode::kFailedPrecondition) << nobody;
  EXPECT_EQ(MessageOf(nobody), "nobody is at n9:8400");
  EXPECT_TRUE(outcome({.kind = Kind::kAddMember, .name = "n3", .rpc_address = "n3:8400"}).ok())
      << "a member already";
}

// Goal: who waits in vain is told what for.
TEST_F(ClusterTest, ATransferThatNobodyCanTakeSaysWhy) {
  cluster.Kill("n2");
  cluster.Kill("n3");
  const StatusOutcome in_vain = cluster.life("n1").Request({.kind = AdminRequest::Kind::kTransfer});
  cluster.RunUntil([&] { return in_vain->has_value(); }, "it is answered");
  EXPECT_EQ((*in_vain)->code(), absl::StatusCode::kFailedPrecondition) << **in_vain;
  EXPECT_NE(MessageOf(**in_vain).find("could lead"), std::string_view::npos) << **in_vain;
  ReplicaCluster single(1);
  single.Form();
  const StatusOutcome alone = single.life("n1").Request({.kind = AdminRequest::Kind::kTransfer});
  single.RunUntil([&] { return alone->has_value(); }, "it is answered");
  EXPECT_EQ((*alone)->code(), absl::StatusCode::kFailedPrecondition) << **alone;
}

TEST_F(ClusterTest, AChangeDoesNotWaitLongForALeader) {
  cluster.Kill("n1");
  cluster.Kill("n3");
  const StatusOutcome removed = cluster.life("n2").Request(
      {.kind = AdminRequest::Kind::kRemoveMember, .name = "n3"}, seconds(60));
  cluster.Run(seconds(4));
  EXPECT_FALSE(removed->has_value());
  cluster.Run(seconds(2));
  ASSERT_TRUE(removed->has_value());
  EXPECT_EQ(**removed, absl::UnavailableError("no leader"));
}

TEST_F(ClusterTest, ARemovedLeaderLeavesAWorkingCluster) {
  const StatusOutcome removed =
      cluster.life("n1").Request({.kind = AdminRequest::Kind::kRemoveMember, .name = "n1"});
  cluster.RunUntil([&] { return removed->has_value(); }, "it is removed");
  EXPECT_TRUE(IsOk(removed)) << **removed;
  cluster.RunUntil([&] { return !cluster.Leader().empty() && cluster.Leader() != "n1"; },
                   "another leader");
  Write("n2", "k");
  EXPECT_EQ(cluster.replica("n2").View().members.size(), 2u);
}

// Goal: a leader whose disk hangs hands over within a bounded time; nothing acknowledged is lost.
TEST_F(ClusterTest, AHangingDiskOfTheLeaderCostsItsLeadership) {
  Write("n1", "k");
  cluster.life("n1").disk_stalls = true;
  const WriteOutcome stuck = cluster.life("n1").Set("stuck");
  cluster.RunUntil([&] { return !cluster.Leader().empty() && cluster.Leader() != "n1"; },
                   "another leader");
  EXPECT_TRUE(IsApplied(stuck)) << "two other disks have it";
  Write(cluster.Leader(), "later");
  cluster.life("n1").disk_stalls = false;
  ExpectEverywhere("later");
}

// Goal: a node that was away for long gets what memory no longer has from the leader's log files.
TEST_F(ClusterTest, AFollowerThatLagsReadsTheLogOfTheLeader) {
  cluster.Kill("n3");
  for (int i = 0; i < 800; ++i) {
    const WriteOutcome write = cluster.life("n1").Propose(
        store::Set{fmt::format("key-{}", i), std::string(30'000, 'x'), {}});
    cluster.Settle();
    ASSERT_TRUE(IsApplied(write)) << i << " " << (*write)->reason;
  }
  cluster.Restart("n3");
  cluster.RunUntil([&] { return Holds("n3", "key-799"); }, "it has caught up");
  EXPECT_EQ(cluster.machine("n3").digest(), cluster.machine("n1").digest());
}

// Goal: a restart that found everything applied already reads without waiting for something new.
TEST_F(ClusterTest, AFollowerReadsAfterARestartWithNothingNew) {
  cluster.Kill("n3");
  Write("n1", "k");
  cluster.Restart("n3");
  cluster.Run(seconds(2));
  cluster.Kill("n3");
  cluster.Restart("n3");
  cluster.Run(seconds(2));
  const StatusOutcome read = cluster.life("n3").Read();
  cluster.Run(seconds(1));
  EXPECT_TRUE(IsOk(read));
  EXPECT_EQ(cluster.replica("n3").report().applied_index,
            cluster.replica("n1").report().applied_index);
}

TEST_F(ClusterTest, OneOfTwoConnectionsIsNotTheLeader) {
  const Term term = cluster.replica("n1").report().term;
  for (const char* name : {"n2", "n3"}) {
    cluster.replica(name).OnConnectionClosed(cluster.replica("n1").id(), ConnectionId(999), false);
  }
  cluster.Run(seconds(1));
  EXPECT_EQ(cluster.Leader(), "n1");
  EXPECT_EQ(cluster.replica("n1").report().term, term);
}

TEST_F(ClusterTest, ATransferToTheDeadIsTriedOnce) {
  cluster.Kill("n2");
  cluster.Run(seconds(1));
  const StatusOutcome transfer = cluster.life("n1").Request(
      {.kind = AdminRequest::Kind::kTransfer, .name = "n2"}, seconds(20));
  cluster.Run(seconds(1));
  ASSERT_TRUE(transfer->has_value());
  EXPECT_EQ((*transfer)->code(), absl::StatusCode::kFailedPrecondition) << **transfer;
}

TEST_F(ClusterTest, AFencedNodeServesNothing) {
  Write("n1", "k");
  cluster.replica("n1").Fence("a test says so");
  cluster.Settle();
  EXPECT_FALSE(cluster.replica("n1").CanReadNow({.linearizable = false}));
  const WriteOutcome write = cluster.life("n1").Set("k");
  const StatusOutcome stale = cluster.life("n1").Read({.linearizable = false});
  const StatusOutcome change =
      cluster.life("n1").Request({.kind = AdminRequest::Kind::kRemoveMember, .name = "n2"});
  cluster.Settle();
  ASSERT_TRUE(write->has_value() && stale->has_value() && change->has_value());
  EXPECT_EQ((*write)->fate, Fate::kNotDone);
  EXPECT_NE(MessageOf((*write)->reason).find("a test says so"), std::string_view::npos);
  EXPECT_FALSE((*stale)->ok() || (*change)->ok());
  cluster.RunUntil([&] { return !cluster.Leader().empty() && cluster.Leader() != "n1"; },
                   "the others go on");
}

// Goal:   a follower that was put back to an older copy of its disk does not serve before it has
//         again what it had acknowledged, and both say what is missing.
// Method: its disk hangs, so that it cannot acknowledge anything anew.
TEST_F(ClusterTest, AFollowerWithAnOlderDiskDoesNotServe) {
  Write("n1", "before");
  ExpectEverywhere("before");
  cluster.Kill("n3");
  std::unique_ptr<CrashFileSystem> copy = cluster.files("n3").Clone();
  cluster.Restart("n3");
  Write("n1", "after");
  ExpectEverywhere("after");
  const Index had = cluster.replica("n3").report().last_index;
  cluster.Run(seconds(1));
  cluster.Kill("n3");
  cluster.PutBack("n3", std::move(copy));
  cluster.Restart("n3");
  cluster.life("n3").disk_stalls = true;
  const auto of_leader = [&] {
    for (const PeerProgress& peer : cluster.replica("n1").report().peers) {
      if (peer.name == "n3") return peer.lost_through;
    }
    return Index();
  };
  cluster.RunUntil([&] { return of_leader() == had; }, "the leader to find what is lost");
  EXPECT_EQ(cluster.replica("n3").report().lost_through, had);
  EXPECT_FALSE(cluster.replica("n3").report().serving);
  EXPECT_FALSE(cluster.life("n3").serving);
  cluster.Run(seconds(1));
  EXPECT_FALSE(cluster.life("n3").serving) << "nothing of it is durable yet";
  cluster.life("n3").disk_stalls = false;
  cluster.RunUntil([&] { return cluster.life("n3").serving && of_leader() == Index(); }, "the end");
  EXPECT_EQ(cluster.replica("n3").report().lost_through, Index());
  ExpectEverywhere("after");
  EXPECT_EQ(cluster.Leader(), "n1");
}

}  // namespace
}  // namespace mokv::replica
