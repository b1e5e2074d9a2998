// The replica on the real log and store, over a simulated disk, one step at a time.
#include "replica/replica.h"

#include <gtest/gtest.h>

#include "base/status.h"
#include "base/testing/fake_clock.h"
#include "replica/testing/node_life.h"

namespace mokv::replica {
namespace {

using testing::LifeOptions;

struct Surroundings {
  FakeClock own_clock;
  testing::NoPeers no_peers;
};

// A node on its own, whose clock the test moves.
class NodeLife : public Surroundings, public testing::NodeLife {
 public:
  NodeLife(CrashFileSystem& files, std::optional<std::string> new_cluster_id,
           LifeOptions options = {})
      : testing::NodeLife(files, own_clock, no_peers,
                          WithCluster(std::move(options), std::move(new_cluster_id))) {
    EXPECT_TRUE(started.ok()) << started;
  }

 private:
  static LifeOptions WithCluster(LifeOptions options, std::optional<std::string> cluster_id) {
    options.new_cluster_id = std::move(cluster_id);
    return options;
  }
};

TEST(Replica, ServesOnceItsOwnTermIsDurable) {
  CrashFileSystem files;
  NodeLife life(files, "cluster-1");
  EXPECT_FALSE(life.serving);
  EXPECT_FALSE(life.replica->CanReadNow({}));
  const auto early = life.Set("early");
  EXPECT_FALSE(early->has_value());
  life.RunAll();
  EXPECT_TRUE(life.serving);
  EXPECT_TRUE(life.replica->CanReadNow({}));
  EXPECT_EQ((*early)->fate, WriteResult::Fate::kApplied) << "it waits for a leader";
  EXPECT_EQ(life.replica->cluster_id(), "cluster-1");
  EXPECT_EQ(life.replica->report().applied_index, Index(3));  // After configuration and no-op.
}

TEST(Replica, AnswersOnlyWhatIsDurableAndPublished) {
  CrashFileSystem files;
  NodeLife life(files, "cluster-1");
  life.RunAll();
  const auto write = life.Set("k");
  while (life.replica_thread.RunOne()) {
  }
  EXPECT_FALSE(write->has_value()) << "answered before the log was durable";
  EXPECT_EQ(life.machine.revision(), Revision(0));
  life.RunAll();
  ASSERT_TRUE(write->has_value());
  EXPECT_EQ((*write)->fate, WriteResult::Fate::kApplied);
  EXPECT_EQ((*write)->applied.revision, Revision(1));
  EXPECT_NE(life.machine.TakeView()->Find("k"), nullptr);
}

TEST(Replica, QueuedWritesShareOneSync) {
  CrashFileSystem files;
  NodeLife life(files, "cluster-1");
  life.RunAll();
  const uint64_t syncs = files.sync_count();
  const auto a = life.Set("a");
  const auto b = life.Set("b");
  const auto c = life.Set("c");
  life.RunAll();
  EXPECT_TRUE(a->has_value() && b->has_value() && c->has_value());
  EXPECT_EQ(files.sync_count(), syncs + 1);
}

// Goal: at the memory limit sets are refused and deletes work, and what they free lets sets in
// again.
TEST(Replica, RefusesSetsAtTheMemoryLimit) {
  CrashFileSystem files;
  uint64_t empty_bytes = 0;
  {
    NodeLife life(files, "cluster-1");
    life.RunAll();
    empty_bytes = life.machine.memory_bytes();
  }
  NodeLife life(files, std::nullopt, {.memory_bytes_max = empty_bytes + 1000});
  life.RunAll();
  std::vector<std::string> keys;
  while (keys.size() < 1000) {
    keys.push_back("key-" + std::to_string(keys.size()));
    const auto write = life.Set(keys.back());
    life.RunAll();
    ASSERT_TRUE(write->has_value());
    if ((*write)->fate == WriteResult::Fate::kApplied) continue;
    EXPECT_EQ((*write)->fate, WriteResult::Fate::kNotDone);
    EXPECT_EQ((*write)->reason.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_NE(MessageOf((*write)->reason).find("max-memory-bytes"), std::string_view::npos);
    keys.pop_back();
    break;
  }
  ASSERT_GT(keys.size(), 1u);
  ASSERT_LT(keys.size(), 100u);
  for (const std::string& key : keys) {
    const auto deleted = life.Propose(store::Delete{key, {}});
    life.RunAll();
    ASSERT_TRUE(deleted->has_value());
    EXPECT_EQ((*deleted)->applied.deleted, 1u);
  }
  life.replica->Tick();
  const auto write = life.Set("again");
  life.RunAll();
  EXPECT_EQ((*write)->fate, WriteResult::Fate::kApplied);
}

TEST(Replica, RefusesMoreThanItsBound) {
  CrashFileSystem files;
  NodeLife life(files, "cluster-1", {.proposals_pending_max = 4});
  life.RunAll();
  for (int i = 0; i < 4; ++i) life.Set("k" + std::to_string(i));
  const auto refused = life.Set("one too many");
  ASSERT_TRUE(refused->has_value());
  EXPECT_EQ((*refused)->fate, WriteResult::Fate::kNotDone);
  EXPECT_EQ((*refused)->reason.code(), absl::StatusCode::kResourceExhausted);
  life.RunAll();
  const auto accepted = life.Set("now there is room");
  life.RunAll();
  EXPECT_EQ((*accepted)->fate, WriteResult::Fate::kApplied);
}

TEST(Replica, RestartKeepsWhatWasAnsweredAndBeginsANewTerm) {
  CrashFileSystem files;
  Term first_term;
  {
    NodeLife life(files, "cluster-1");
    life.RunAll();
    life.Set("k");
    life.RunAll();
    life.Set("k");
    life.RunAll();
    first_term = life.replica->report().term;
  }
  SeededRandom random(7);
  files.PowerLoss(random);
  NodeLife life(files, std::nullopt);
  life.RunAll();
  EXPECT_TRUE(life.serving);
  EXPECT_GT(life.replica->report().term, first_term);
  EXPECT_EQ(life.replica->cluster_id(), "cluster-1");
  const auto view = life.machine.TakeView();
  ASSERT_NE(view->Find("k"), nullptr);
  EXPECT_EQ(view->Find("k")->version(), 2u);
  EXPECT_EQ(view->revision(), Revision(2));
}

TEST(Replica, EmptyLogWithoutBootstrapServesNothing) {
  CrashFileSystem files;
  NodeLife life(files, std::nullopt);
  life.RunAll();
  EXPECT_FALSE(life.serving);
  const auto write = life.Set("k");
  life.RunAll();
  EXPECT_FALSE(write->has_value());
  life.own_clock.now = life.own_clock.now + std::chrono::seconds(5);
  life.replica->Tick();
  EXPECT_EQ((*write)->fate, WriteResult::Fate::kNotDone);
  EXPECT_EQ((*write)->reason.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(MessageOf((*write)->reason), "no leader");
  EXPECT_TRUE(life.replica->CanReadNow({.linearizable = false}));
}

// Goal: who is refused may propose again from within its answer, and that write has its own time.
TEST(Replica, AnswersOfExpiredWritesMayProposeAgain) {
  CrashFileSystem files;
  NodeLife life(files, std::nullopt);
  life.RunAll();
  constexpr int kWrites = 3;
  constexpr Duration kWait = std::chrono::seconds(5);
  std::vector<int> refused;
  std::vector<testing::WriteOutcome> again;
  for (int i = 0; i < kWrites; ++i) {
    life.replica->Propose(
        {.command = store::Set{"k", "v", {}}, .give_up_at = life.own_clock.now + kWait},
        [&, i](const WriteResult& result) {
          EXPECT_EQ(result.fate, WriteResult::Fate::kNotDone);
          refused.push_back(i);
          again.push_back(life.Propose(store::Set{"k", "v", {}}, kWait));
        });
  }
  life.RunAll();
  life.own_clock.now = life.own_clock.now + kWait;
  life.replica->Tick();
  EXPECT_EQ(refused, (std::vector<int>{0, 1, 2}));
  life.RunAll();
  for (const auto& write : again) EXPECT_FALSE(write->has_value());
  life.own_clock.now = life.own_clock.now + kWait;
  life.replica->Tick();
  for (const auto& write : again) EXPECT_TRUE(write->has_value());
}

TEST(Replica, ReadsWaitForTheirRevisionOrTheirTime) {
  CrashFileSystem files;
  NodeLife life(files, "cluster-1");
  life.RunAll();
  const auto reached = life.Read({.linearizable = false, .min_revision = Revision(1)});
  const auto too_late = life.Read({.linearizable = false, .min_revision = Revision(9)});
  life.RunAll();
  EXPECT_FALSE(reached->has_value());
  life.Set("k");
  life.RunAll();
  ASSERT_TRUE(reached->has_value());
  EXPECT_TRUE((*reached)->ok());
  EXPECT_FALSE(too_late->has_value());
  life.own_clock.now = life.own_clock.now + std::chrono::seconds(5);
  life.replica->Tick();
  ASSERT_TRUE(too_late->has_value());
  EXPECT_EQ((*too_late)->code(), absl::StatusCode::kUnavailable);
}

TEST(Replica, FailedSyncStopsTheNodeAndLeavesOutcomesUnknown) {
  CrashFileSystem files;
  NodeLife life(files, "cluster-1");
  life.RunAll();
  files.SetFault([](CrashFileSystem::Operation operation, const std::string&) -> absl::Status {
    if (operation != CrashFileSystem::Operation::kSync) return absl::OkStatus();
    return absl::UnavailableError("input/output error");
  });
  const auto write = life.Set("k");
  life.RunAll();
  ASSERT_TRUE(write->has_value());
  EXPECT_EQ((*write)->fate, WriteResult::Fate::kUnknown);
  EXPECT_TRUE(life.fatal.has_value());
  EXPECT_FALSE(life.serving);
  EXPECT_FALSE(life.replica->CanReadNow({}));
  const auto later = life.Set("later");
  life.RunAll();
  EXPECT_EQ((*later)->fate, WriteResult::Fate::kNotDone);
}

// Goal:   a full disk refuses writes one by one, harms nothing, and ends by itself.
// Method: no file may grow; write until refused, read, restart on the full disk, give space.
TEST(Replica, FullDiskRefusesWritesAndRecoversByItself) {
  CrashFileSystem files;
  {
    NodeLife life(files, "cluster-1");
    life.RunAll();
    files.SetCapacity(files.used_bytes());
    const std::string big(4000, 'x');
    uint64_t applied = 0;
    while (true) {
      const auto write = life.Set(fmt::format("{}/{}", applied, big));
      life.RunAll();
      ASSERT_TRUE(write->has_value());
      if ((*write)->fate == WriteResult::Fate::kNotDone) {
        EXPECT_EQ((*write)->reason.code(), absl::StatusCode::kResourceExhausted);
        EXPECT_NE(MessageOf((*write)->reason).find("no space left"), std::string_view::npos)
            << (*write)->reason;
        break;
      }
      ++applied;
      ASSERT_LT(applied, 1000u);
    }
    EXPECT_GT(applied, 10u);
    EXPECT_FALSE(life.fatal.has_value());
    EXPECT_TRUE(life.replica->CanReadNow({}));
    EXPECT_EQ(life.machine.revision(), Revision(applied));
  }
  files.Restart();
  NodeLife life(files, std::nullopt);
  life.RunAll();
  EXPECT_TRUE(life.serving);
  EXPECT_TRUE(life.replica->CanReadNow({}));
  const auto refused = life.Set("k" + std::string(4000, 'x'));
  life.RunAll();
  EXPECT_EQ((*refused)->fate, WriteResult::Fate::kNotDone);
  files.SetCapacity(std::nullopt);
  life.own_clock.now = life.own_clock.now + std::chrono::seconds(1);
  life.replica->Tick();
  life.RunAll();
  const auto accepted = life.Set("k");
  life.RunAll();
  EXPECT_EQ((*accepted)->fate, WriteResult::Fate::kApplied);
}

// Goal: a node that has voted somewhere does not begin a cluster of its own as if it had not.
TEST(Replica, BeginsNoClusterWhereItHasPromisedSomethingAlready) {
  CrashFileSystem files;
  {
    NodeLife life(files, std::nullopt);
    const raft::NodeId other(77);
    life.replica->OnMessage({.from = other,
                             .to = life.replica->id(),
                             .term = Term(5),
                             .body = raft::Heartbeat{.commit = Index(0), .round = raft::Round(1)}});
    life.RunAll();
    EXPECT_EQ(life.replica->report().term, Term(5));
  }
  FakeClock clock;
  testing::NoPeers peers;
  testing::NodeLife life(files, clock, peers, {.new_cluster_id = "cluster-1"});
  EXPECT_EQ(life.started.code(), absl::StatusCode::kFailedPrecondition) << life.started;
}

// Goal: a node whose log was put into another cluster's data directory promises nothing.
TEST(Replica, TakesNoPartWithTheLogOfAnotherCluster) {
  CrashFileSystem files;
  NodeLife(files, "cluster-1").RunAll();
  FakeClock clock;
  testing::NoPeers peers;
  testing::NodeLife life(files, clock, peers, {.cluster_id = "cluster-2"});
  EXPECT_EQ(life.started.code(), absl::StatusCode::kFailedPrecondition) << life.started;
  EXPECT_FALSE(life.replica_thread.RunOne()) << "it is about to stand for election";
}

TEST(Replica, RefusesAtOnceBeforeItsStart) {
  ManualExecutor executor;
  const FakeClock clock;
  SeededRandom random(1);
  machine::Machine machine;
  Replica::Callbacks callbacks;
  callbacks.set_alarm = [](MonotonicTime) {};
  callbacks.on_fatal = [](const absl::Status&) {};
  Replica replica({executor, executor, executor, executor}, clock, random, machine,
                  {.name = "n", .instance_id = "d"}, std::move(callbacks));
  std::optional<WriteResult> write;
  std::optional<absl::Status> read;
  replica.Propose({.command = store::Delete{"k"}},
                  [&](const WriteResult& result) { write = result; });
  replica.WaitForRead({.linearizable = false}, MonotonicTime::Max(),
                      [&](const absl::Status& status) { read = status; });
  ASSERT_TRUE(write.has_value() && read.has_value());
  EXPECT_EQ(write->fate, WriteResult::Fate::kNotDone);
  EXPECT_EQ(MessageOf(write->reason), "the node is starting");
  EXPECT_EQ(read->code(), absl::StatusCode::kUnavailable);
}

// Goal: a node that was fenced before its first entry was durable does not serve once it is.
TEST(Replica, StaysFencedWhenItsClusterBegins) {
  CrashFileSystem files;
  NodeLife life(files, "cluster-1");
  life.replica->Fence("another cluster is there");
  life.RunAll();
  EXPECT_FALSE(life.serving);
  EXPECT_FALSE(life.replica->CanReadNow({.linearizable = false}));
  const auto write = life.Set("k");
  life.RunAll();
  ASSERT_TRUE(write->has_value());
  EXPECT_EQ((*write)->fate, WriteResult::Fate::kNotDone);
}

// Goal: the leader can put commands of its own into the log; another node cannot, and forwards none.
TEST(Replica, TheLeaderProposesCommandsOfItsOwn) {
  CrashFileSystem files;
  NodeLife life(files, "cluster-1", {.proposals_pending_max = 1});
  life.RunAll();
  const auto client = life.Set("fills the limit of clients");
  std::optional<WriteResult> own;
  life.replica->ProposeHere(store::Set{"own", "value"},
                            [&](const WriteResult& result) { own = result; });
  life.RunAll();
  ASSERT_TRUE(own.has_value());
  EXPECT_EQ(own->fate, WriteResult::Fate::kApplied);
  EXPECT_NE(life.machine.TakeView()->Find("own"), nullptr);
  EXPECT_EQ(life.replica->report().counters.proposals_pending, 0u);
}

TEST(Replica, StopAcceptingRefusesNewWritesOnly) {
  CrashFileSystem files;
  NodeLife life(files, "cluster-1");
  life.RunAll();
  const auto before = life.Set("a");
  life.replica->StopAccepting();
  const auto after = life.Set("b");
  life.RunAll();
  EXPECT_EQ((*before)->fate, WriteResult::Fate::kApplied);
  EXPECT_EQ((*after)->fate, WriteResult::Fate::kNotDone);
}

}  // namespace
}  // namespace mokv::replica
