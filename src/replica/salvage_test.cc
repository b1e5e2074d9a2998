// Whole replicas whose disks are looked at without them.
#include "replica/salvage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/status.h"
#include "replica/snapshot_file.h"
#include "replica/testing/cluster.h"

namespace mokv::replica::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const StatePaths kPaths = {.snapshots = "snapshots", .log = "log"};

ClusterOptions One(uint64_t snapshot_log_bytes) {
  ClusterOptions options{.nodes = 1};
  options.life.snapshot_log_bytes = snapshot_log_bytes;
  options.life.segment_bytes = 4 << 10;
  options.life.trailing_entries = 4;
  return options;
}

void Write(ReplicaCluster& cluster, int count) {
  for (int i = 0; i < count; ++i) {
    const WriteOutcome outcome = cluster.life("n1").Set(fmt::format("k{}", i % 20));
    cluster.RunUntil([&] { return outcome->has_value(); }, "the write is answered");
    cluster.Run(std::chrono::milliseconds(5));  // Snapshots are begun by ticks.
  }
}

std::vector<std::string> Contents(CrashFileSystem& files) {
  std::vector<std::string> contents;
  for (const char* directory : {"log", "snapshots"}) {
    const auto names = files.List(directory);
    if (!names.ok()) continue;
    for (const std::string& name : *names) {
      contents.push_back(name + files.Contents(fmt::format("{}/{}", directory, name)));
    }
  }
  return contents;
}

TEST(Salvage, FindsAllThatIsInALogAndChangesNothing) {
  ReplicaCluster cluster(One(uint64_t{1} << 30));
  cluster.Form();
  Write(cluster, 30);
  const store::Digest before = cluster.machine("n1").digest();
  const Index last = cluster.replica("n1").core()->log().last().index;
  cluster.Kill("n1");
  const std::vector<std::string> contents = Contents(cluster.files("n1"));
  const auto state = Salvage(cluster.files("n1"), kPaths);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->machine->digest(), before);
  EXPECT_EQ(state->last.index, last);
  EXPECT_LE(state->committed, last);
  EXPECT_EQ(state->snapshot, EntryId());
  EXPECT_THAT(state->membership->members(), SizeIs(1));
  EXPECT_EQ(Contents(cluster.files("n1")), contents);
}

TEST(Salvage, GoesOnFromTheNewestSnapshot) {
  ReplicaCluster cluster(One(8 << 10));
  cluster.Form();
  Write(cluster, 600);
  cluster.RunUntil([&] { return cluster.replica("n1").report().snapshots.log_cuts > 0; }, "a cut");
  const store::Digest before = cluster.machine("n1").digest();
  cluster.Kill("n1");
  const auto state = Salvage(cluster.files("n1"), kPaths);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->machine->digest(), before);
  EXPECT_GT(state->snapshot.index, Index(100));
  EXPECT_THAT(state->damaged, IsEmpty());
}

TEST(Salvage, ADamagedSnapshotGivesWayToTheOlderAndIsNamed) {
  ReplicaCluster cluster(One(8 << 10));
  cluster.Form();
  Write(cluster, 600);
  cluster.RunUntil([&] { return cluster.replica("n1").report().snapshots.log_cuts > 0; }, "a cut");
  const store::Digest before = cluster.machine("n1").digest();
  cluster.Kill("n1");
  const auto paths = ListSnapshots(cluster.files("n1"), "snapshots");
  ASSERT_TRUE(paths.ok());
  ASSERT_GE(paths->size(), 2u);
  cluster.files("n1").FlipBit(paths->front(), 8 * 200);
  auto state = Salvage(cluster.files("n1"), kPaths);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->machine->digest(), before);
  ASSERT_THAT(state->damaged, SizeIs(1));
  EXPECT_THAT(std::string(MessageOf(state->damaged.front())), HasSubstr(paths->front()));
  // Without the older one the log does not begin early enough.
  for (const std::string& path : *paths) {
    if (path != paths->front()) cluster.files("n1").FlipBit(path, 8 * 200);
  }
  state = Salvage(cluster.files("n1"), kPaths);
  EXPECT_EQ(state.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(MessageOf(state.status())), HasSubstr(paths->front()));
}

// Goal:   what a node did not know to be committed is taken, too, and told apart.
// Method: a leader that is cut off goes on taking writes, of which nobody else ever hears.
TEST(Salvage, TakesWhatIsNotKnownToBeCommitted) {
  ReplicaCluster cluster(3);
  cluster.Form();
  const std::string leader = cluster.Leader();
  const WriteOutcome known = cluster.life(leader).Set("known");
  cluster.RunUntil([&] { return known->has_value(); }, "the write is answered");
  cluster.Isolate(leader);
  const WriteOutcome unknown = cluster.life(leader).Set("unknown");
  cluster.Settle();
  ASSERT_FALSE(unknown->has_value());
  cluster.Kill(leader);
  const auto state = Salvage(cluster.files(leader), kPaths);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_LT(state->committed, state->last.index);
  const auto view = state->machine->TakeView();
  EXPECT_NE(view->Find("known"), nullptr);
  EXPECT_NE(view->Find("unknown"), nullptr);
}

TEST(Salvage, OfNoDirectoryIsNotFound) {
  CrashFileSystem files;
  EXPECT_EQ(Salvage(files, kPaths).status().code(), absl::StatusCode::kNotFound);
}

// Goal:   what Freeze gives is the state of the place that it says, also while more is applied.
// Method: what a salvage of the same log makes of it, up to there.
TEST(Freeze, GivesTheStateOfItsPlace) {
  ReplicaCluster cluster(One(uint64_t{1} << 30));
  cluster.Form();
  Write(cluster, 10);
  std::optional<absl::StatusOr<FrozenSnapshot>> frozen;
  cluster.life("n1").Set("before");
  cluster.replica("n1").Freeze([&](auto snapshot) { frozen = std::move(snapshot); });
  const WriteOutcome after = cluster.life("n1").Set("after");
  cluster.RunUntil([&] { return after->has_value() && frozen.has_value(); }, "both are answered");
  ASSERT_TRUE(frozen->ok()) << frozen->status();
  const store::View& view = *(*frozen)->state.store;
  // Entry 1 is the configuration, 2 the leader's first; each other one is a write.
  EXPECT_EQ(view.revision().value() + 2, (*frozen)->meta.last.index.value());
  EXPECT_EQ(view.Find("after"), nullptr);
  EXPECT_FALSE((*frozen)->meta.membership->empty());
}

}  // namespace
}  // namespace mokv::replica::testing
