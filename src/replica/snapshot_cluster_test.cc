// Snapshots of whole replicas: taken, begun with, cut behind, fetched by those who need them.
#include <gtest/gtest.h>

#include <set>

#include "base/status.h"
#include "replica/snapshot_file.h"
#include "replica/testing/cluster.h"

namespace mokv::replica::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kLogBytes = 8 << 10;

ClusterOptions Snapshotting(size_t nodes) {
  ClusterOptions options{.nodes = nodes};
  options.life.snapshot_log_bytes = kLogBytes;
  options.life.segment_bytes = 4 << 10;
  options.life.trailing_entries = 4;
  return options;
}

// `count` writes to a few keys, all acknowledged.
void Write(ReplicaCluster& cluster, int count, const std::string& prefix = "k") {
  for (int i = 0; i < count; ++i) {
    const std::string leader = cluster.Leader();
    ASSERT_FALSE(leader.empty());
    const WriteOutcome outcome = cluster.life(leader).Set(fmt::format("{}{}", prefix, i % 20));
    cluster.RunUntil([&] { return outcome->has_value(); }, "the write is answered");
    ASSERT_EQ((*outcome)->fate, WriteResult::Fate::kApplied);
    cluster.Run(milliseconds(5));  // Snapshots are begun by ticks.
  }
}

SnapshotReport ReportOf(ReplicaCluster& cluster, const std::string& name) {
  return cluster.replica(name).report().snapshots;
}

void ExpectAllEqual(ReplicaCluster& cluster) {
  cluster.RunUntil(
      [&] {
        std::set<std::pair<uint64_t, uint64_t>> digests;
        for (const std::string& name : cluster.names()) {
          const store::Digest digest = cluster.machine(name).digest();
          digests.insert({digest.low, digest.high});
        }
        return digests.size() == 1;
      },
      "all have the same state");
}

size_t FilesOf(ReplicaCluster& cluster, const std::string& name) {
  return cluster.files(name).List("snapshots")->size();
}

TEST(SnapshotCluster, LogIsCutBehindTheOlderOfTwo) {
  ReplicaCluster cluster(Snapshotting(1));
  cluster.Form();
  Write(cluster, 600);
  cluster.RunUntil([&] { return ReportOf(cluster, "n1").log_cuts > 0; }, "the log is cut");
  const SnapshotReport report = ReportOf(cluster, "n1");
  EXPECT_GE(report.taken, 3u);
  EXPECT_EQ(report.failed, 0u);
  EXPECT_LE(FilesOf(cluster, "n1"), 3u);  // Two, and one that is being written.
  EXPECT_GT(cluster.life("n1").log->first_index(), Index(1));
  EXPECT_LT(cluster.life("n1").log->first_index(), report.last);
}

TEST(SnapshotCluster, RestartBeginsWithTheNewest) {
  ReplicaCluster cluster(Snapshotting(1));
  cluster.Form();
  Write(cluster, 300);
  const store::Digest before = cluster.machine("n1").digest();
  const SnapshotReport report = ReportOf(cluster, "n1");
  ASSERT_GE(report.taken, 2u);
  cluster.Kill("n1");
  cluster.Restart("n1");
  cluster.RunUntil([&] { return cluster.Leader() == "n1"; }, "it leads again");
  EXPECT_EQ(cluster.machine("n1").digest(), before);
  EXPECT_EQ(cluster.replica("n1").core()->log().base().index, report.last);
}

TEST(SnapshotCluster, DamagedNewestGivesWayToTheOlder) {
  ReplicaCluster cluster(Snapshotting(1));
  cluster.Form();
  Write(cluster, 600);
  cluster.RunUntil([&] { return ReportOf(cluster, "n1").log_cuts > 0; }, "the log is cut");
  const store::Digest before = cluster.machine("n1").digest();
  cluster.Kill("n1");
  const std::vector<std::string> names = *cluster.files("n1").List("snapshots");
  cluster.files("n1").FlipBit("snapshots/" + names.back(), 8 * 200);
  cluster.Restart("n1");
  cluster.RunUntil([&] { return cluster.Leader() == "n1"; }, "it leads again");
  EXPECT_EQ(cluster.machine("n1").digest(), before);
  // It is set aside for whoever wants to look at it.
  const std::vector<std::string> after = *cluster.files("n1").List("snapshots");
  EXPECT_NE(std::find(after.begin(), after.end(), names.back() + ".damaged"), after.end());
}

// Goal:   a damaged snapshot excuses no other error of a start.
// Method: beside it the first sync of the log fails; another opening of the log would find it well.
TEST(SnapshotCluster, FailedSyncOfTheLogIsNotTakenForADamagedSnapshot) {
  const ClusterOptions options = Snapshotting(1);
  ReplicaCluster cluster(options);
  cluster.Form();
  // With nothing behind the newest snapshot the log is read to its end before that is missed.
  const auto ends_with_snapshot = [&] {
    return ReportOf(cluster, "n1").log_cuts > 0 &&
           ReportOf(cluster, "n1").last == cluster.replica("n1").core()->log().last().index;
  };
  for (int i = 0; i < 2000 && !ends_with_snapshot(); ++i) {
    Write(cluster, 1);
    cluster.Run(2 * options.tick);  // What this has made due is taken before the next write.
  }
  ASSERT_TRUE(ends_with_snapshot());
  cluster.Kill("n1");
  CrashFileSystem& files = cluster.files("n1");
  const std::vector<std::string> names = *files.List("snapshots");
  files.FlipBit("snapshots/" + names.back(), 8 * 200);
  int failed = 0;
  files.SetFault([&](CrashFileSystem::Operation operation, const std::string& path) {
    if (operation != CrashFileSystem::Operation::kSync || !path.starts_with("log/") || failed > 0) {
      return absl::OkStatus();
    }
    ++failed;
    return absl::DataLossError("the disk has failed");
  });
  NoPeers peers;
  LifeOptions life_options = options.life;
  life_options.name = "n1";
  const NodeLife life(files, cluster.clock(), peers, life_options);
  EXPECT_EQ(failed, 1);
  EXPECT_NE(MessageOf(life.started).find("the disk has failed"), std::string_view::npos)
      << life.started;
  EXPECT_EQ(*files.List("snapshots"), names);
}

// Goal: a leader that hears first by a snapshot that another one leads fetches it, as everybody does.
TEST(SnapshotCluster, LeaderFetchesASnapshotOfALaterTerm) {
  ReplicaCluster cluster(Snapshotting(3));
  cluster.Form();
  const std::string leader = cluster.Leader();
  const raft::Core& core = *cluster.replica(leader).core();
  const raft::Position beyond{Index(core.commit().value() + 100), core.term().next()};
  cluster.replica(leader).OnMessage(
      {.from = cluster.replica(cluster.Follower()).core()->id(),
       .to = core.id(),
       .term = beyond.term,
       .body =
           raft::InstallSnapshot{.snapshot = {.last = beyond, .membership = core.membership()}}});
  // There is none of that name.
  cluster.RunUntil([&] { return ReportOf(cluster, leader).fetches_failed > 0; }, "it asks for it");
  EXPECT_EQ(ReportOf(cluster, leader).installed, 0u);
  Write(cluster, 20);
  ExpectAllEqual(cluster);
}

TEST(SnapshotCluster, FollowerThatWasAwayGetsASnapshot) {
  ReplicaCluster cluster(Snapshotting(3));
  cluster.Form();
  const std::string away = cluster.Follower();
  cluster.Kill(away);
  // Beyond what the log is kept for it.
  cluster.Run(seconds(6));
  Write(cluster, 2000);
  const std::string leader = cluster.Leader();
  cluster.RunUntil([&] { return ReportOf(cluster, leader).log_cuts > 1; }, "the log is cut");
  cluster.Restart(away);
  cluster.RunUntil([&] { return ReportOf(cluster, away).installed > 0; }, "it is installed");
  ExpectAllEqual(cluster);
  Write(cluster, 20);
  ExpectAllEqual(cluster);
  // And what it has got is what it begins with.
  cluster.Kill(away);
  cluster.Restart(away);
  ExpectAllEqual(cluster);
}

TEST(SnapshotCluster, EmptyNodeJoinsBySnapshot) {
  ClusterOptions options = Snapshotting(3);
  ReplicaCluster cluster(options);
  cluster.RunUntil([&] { return cluster.Leader() == "n1"; }, "the first node leads");
  Write(cluster, 600);
  cluster.RunUntil([&] { return ReportOf(cluster, "n1").log_cuts > 0; }, "the log is cut");
  cluster.Form();
  EXPECT_GT(ReportOf(cluster, "n2").installed, 0u);
  EXPECT_GT(ReportOf(cluster, "n3").installed, 0u);
  ExpectAllEqual(cluster);
}

// Three nodes, of which a follower is away and needs a snapshot of `keys` large values to come back.
class LargeSnapshotCluster {
 public:
  static constexpr size_t kValueBytes = 30'000;

  LargeSnapshotCluster(size_t keys, size_t writes) {
    cluster.Form();
    away = cluster.Follower();
    cluster.Kill(away);
    cluster.Run(seconds(6));
    leader = cluster.Leader();
    for (size_t i = 0; i < writes; ++i) {
      const WriteOutcome outcome = cluster.life(leader).Propose(
          store::Set{fmt::format("large{}", i % keys), std::string(kValueBytes, 'x'), {}});
      cluster.RunUntil([&] { return outcome->has_value(); }, "the write is answered");
      EXPECT_EQ((*outcome)->fate, WriteResult::Fate::kApplied) << (*outcome)->reason;
      cluster.Run(milliseconds(5));
    }
    cluster.RunUntil([&] { return ReportOf(cluster, leader).log_cuts > 0; }, "the log is cut");
  }

  ReplicaCluster cluster{Options()};
  std::string away;
  std::string leader;

 private:
  static ClusterOptions Options() {
    ClusterOptions options = Snapshotting(3);
    options.life.segment_bytes = 128 << 10;
    return options;
  }
};

TEST(SnapshotCluster, FetchGoesOnAfterABrokenConnection) {
  LargeSnapshotCluster large(/*keys=*/40, /*writes=*/200);  // More than one part.
  ReplicaCluster& cluster = large.cluster;
  const std::string& away = large.away;
  cluster.Restart(away);
  cluster.RunUntil([&] { return ReportOf(cluster, away).fetched_bytes > 0; }, "something came");
  cluster.Break(away, large.leader);
  cluster.RunUntil([&] { return ReportOf(cluster, away).installed > 0; }, "it is installed");
  EXPECT_EQ(ReportOf(cluster, away).fetches_failed, 0u);
  ExpectAllEqual(cluster);
}

// Goal:   what a sync has failed for is not gone on with: the disk may never get it, whatever a later
//         sync says.
// Method: the first sync of a file that is being fetched fails; it must be removed, and fetched anew.
TEST(SnapshotCluster, FetchIsBegunAnewAfterAFailedSync) {
  // More than what is synced at once.
  constexpr size_t kKeys = 2 * kSnapshotSyncBytes / LargeSnapshotCluster::kValueBytes;
  LargeSnapshotCluster large(kKeys, /*writes=*/2 * kKeys);
  ReplicaCluster& cluster = large.cluster;
  const std::string& away = large.away;
  int failed = 0;
  int removed = 0;
  cluster.files(away).SetFault(
      [&](CrashFileSystem::Operation operation, const std::string& path) -> absl::Status {
        if (!path.ends_with(".fetching")) return absl::OkStatus();
        if (operation == CrashFileSystem::Operation::kRemove) ++removed;
        if (operation != CrashFileSystem::Operation::kSync || failed > 0) return absl::OkStatus();
        ++failed;
        return absl::DataLossError("the disk has failed");
      });
  cluster.Restart(away);
  cluster.RunUntil([&] { return ReportOf(cluster, away).installed > 0; }, "it is installed");
  EXPECT_EQ(failed, 1);
  EXPECT_EQ(removed, 1);
  EXPECT_EQ(ReportOf(cluster, away).fetches_failed, 1u);
  ExpectAllEqual(cluster);
}

// Goal:   a follower that was slow for a moment reads the log, however little of it makes a snapshot due.
// Method: one segment is more than the log may be kept for peers; what goes to a follower is held up
//         while snapshots are taken and the log is cut.
TEST(SnapshotCluster, LogOfFewSegmentsIsKeptForWhoIsSlow) {
  ClusterOptions options = Snapshotting(3);
  options.life.segment_bytes = 64 << 10;
  options.life.snapshot_log_bytes = 1 << 10;
  ReplicaCluster cluster(options);
  cluster.Form();
  const std::string leader = cluster.Leader();
  const std::string slow = cluster.Follower();
  cluster.Hold(leader, slow);
  const uint64_t taken = ReportOf(cluster, leader).taken;
  Write(cluster, 100);
  ASSERT_GE(ReportOf(cluster, leader).taken, taken + 2);
  cluster.Release();
  ExpectAllEqual(cluster);
  EXPECT_EQ(ReportOf(cluster, slow).installed, 0u);
  EXPECT_EQ(ReportOf(cluster, leader).peers_outrun, 0u);
}

// The leader dies in the middle of a transfer: whoever follows sends one of its own, or the node has
// it already.
TEST(SnapshotCluster, FetchOutlivesTheLeader) {
  ReplicaCluster cluster(Snapshotting(5));
  cluster.Form();
  const std::string away = cluster.Follower();
  cluster.Kill(away);
  cluster.Run(seconds(6));
  Write(cluster, 2000);
  const std::string leader = cluster.Leader();
  cluster.RunUntil([&] { return ReportOf(cluster, leader).log_cuts > 0; }, "the log is cut");
  cluster.Restart(away);
  cluster.RunUntil([&] { return ReportOf(cluster, leader).sent_bytes > 0; }, "it has begun");
  cluster.Kill(leader);
  cluster.RunUntil([&] { return ReportOf(cluster, away).installed > 0; }, "it is installed");
  cluster.Restart(leader);
  ExpectAllEqual(cluster);
}

// Goal:   what is frozen is the state of the place that it says, also in the moment between the core's
//         taking an installed snapshot's place and the exchange of the state.
// Method: a follower that needs a snapshot is asked after each step of what brings it.
TEST(SnapshotCluster, NothingIsFrozenUnderAnInstalledSnapshotsPlaceTooEarly) {
  ReplicaCluster cluster(Snapshotting(3));
  cluster.Form();
  const std::string away = cluster.Follower();
  cluster.Kill(away);
  cluster.Run(seconds(6));
  Write(cluster, 2000);
  const std::string leader = cluster.Leader();
  cluster.RunUntil([&] { return ReportOf(cluster, leader).log_cuts > 1; }, "the log is cut");
  cluster.Restart(away);
  const Revision before = cluster.machine(away).revision();
  const Index last_before = cluster.replica(away).core()->log().last().index;
  int frozen = 0;
  int refused = 0;
  const auto freeze = [&] {
    cluster.replica(away).Freeze([&](const absl::StatusOr<FrozenSnapshot>& snapshot) {
      ++(snapshot.ok() ? frozen : refused);
      if (!snapshot.ok() || snapshot->meta.last.index <= last_before) return;
      EXPECT_GT(snapshot->state.store->revision(), before);
    });
  };
  for (int i = 0; i < 100'000 && ReportOf(cluster, away).installed == 0; ++i) {
    bool is_idle = true;
    for (const std::string& name : cluster.names()) {
      const bool turns = cluster.life(name).replica_thread.pending() > 0;
      if (!cluster.life(name).RunOne()) continue;
      is_idle = false;
      if (name == away && !turns) freeze();  // Beside what its other threads have just told it.
    }
    if (cluster.DeliverAny(0, {}) || !is_idle) continue;
    cluster.Advance(milliseconds(5));
    for (const std::string& name : cluster.names()) {
      cluster.life(name).RingAlarm();
      cluster.replica(name).Tick();
    }
  }
  EXPECT_GT(frozen, 0);
  EXPECT_GT(refused, 0) << "the moment in question was not met";
}

// Goal:   nobody is told that a write was not done because a snapshot has taken its entry's place.
// Method: a leader's write reaches the others, but no answer comes back; they go on without it until
//         their log begins behind the write.
TEST(SnapshotCluster, WriteWhoseEntryIsReplacedIsOfUnknownOutcome) {
  ReplicaCluster cluster(Snapshotting(3));
  cluster.Form();
  ASSERT_EQ(cluster.Leader(), "n1");
  cluster.CutOneWay("n2", "n1");
  cluster.CutOneWay("n3", "n1");
  const WriteOutcome write =
      cluster.life("n1").Propose(store::Set{"replaced", "v", {}}, seconds(60));
  cluster.RunUntil([&] { return !cluster.Leader().empty() && cluster.Leader() != "n1"; },
                   "another leads");
  cluster.Isolate("n1");
  cluster.Run(seconds(6));
  Write(cluster, 2000);
  const std::string leader = cluster.Leader();
  cluster.RunUntil([&] { return ReportOf(cluster, leader).log_cuts > 1; }, "the log is cut");
  ASSERT_FALSE(write->has_value());
  cluster.Heal();
  cluster.RunUntil([&] { return ReportOf(cluster, "n1").installed > 0; }, "it is installed");
  cluster.RunUntil([&] { return write->has_value(); }, "the write is answered");
  EXPECT_EQ((*write)->fate, WriteResult::Fate::kUnknown) << (*write)->reason;
  EXPECT_NE(cluster.machine("n1").TakeView()->Find("replaced"), nullptr);
}

TEST(SnapshotCluster, FullDiskLosesNoSnapshotAndNoWrite) {
  ReplicaCluster cluster(Snapshotting(1));
  cluster.Form();
  Write(cluster, 100);
  CrashFileSystem& files = cluster.files("n1");
  files.SetFault([](CrashFileSystem::Operation operation, const std::string& path) {
    if (operation == CrashFileSystem::Operation::kWrite && path.find(".snap") != path.npos) {
      return absl::ResourceExhaustedError("no space");
    }
    return absl::OkStatus();
  });
  Write(cluster, 300);
  cluster.RunUntil([&] { return ReportOf(cluster, "n1").failed > 1; }, "it is tried again");
  EXPECT_EQ(cluster.life("n1").log->first_index(), Index(1));
  EXPECT_FALSE(ReportOf(cluster, "n1").last_error.empty());
  files.SetFault(nullptr);
  const uint64_t taken = ReportOf(cluster, "n1").taken;
  cluster.RunUntil([&] { return ReportOf(cluster, "n1").taken > taken; }, "there is one again");
  EXPECT_TRUE(ReportOf(cluster, "n1").last_error.empty());
}

}  // namespace
}  // namespace mokv::replica::testing
