// Directories of nodes that some version has written: what is in them is found, and goes on.
//
// testdata/vN holds a snapshot and the log behind it as version N of the snapshot's format wrote
// them, and what a start finds in them (found.txt). They stay as they are: later versions prove with
// them that they still read version N. Only while a version is not released yet may they be recorded
// anew:
//   MOKV_RECORD=1 replica_test --gtest_filter='*StateFixtures*'
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/checksum.h"
#include "base/file.h"
#include "base/status.h"
#include "replica/salvage.h"
#include "replica/snapshot_file.h"
#include "replica/testing/cluster.h"
#include "snapshot/format.h"
#include "snapshot/reader.h"

namespace mokv::replica::testing {
namespace {

const StatePaths kPaths = {.snapshots = "snapshots", .log = "log"};
constexpr std::string_view kSubject = "root";
// Long enough that the state has more than one block of items.
constexpr size_t kValueBytes = 6 << 10;
constexpr int kKeys = 24;
static_assert(kKeys * kValueBytes > snapshot::kBlockBytes);

machine::Command InSession(SessionId session, uint64_t sequence, machine::Command command) {
  command.session = {session, sequence, 1, std::string(kSubject)};
  return command;
}

store::Set BulkSet(int i, char c) {
  return {fmt::format("bulk/{:02}", i), std::string(kValueBytes, c), {}};
}

class StateFixtures : public ::testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    if (std::getenv("MOKV_RECORD") != nullptr && GetParam() == snapshot::kVersion) Record();
    CopyFiles();
  }

  std::string FixturePath() const {
    return fmt::format("{}/v{}", MOKV_REPLICA_TESTDATA, GetParam());
  }
  std::string FixtureText(const std::string& name) const {
    return PosixFileSystem().ReadFile(FixturePath() + "/" + name).value();
  }
  void CopyFiles() {
    for (const char* directory : {"log", "snapshots"}) {
      ASSERT_TRUE(files.CreateDirectories(directory).ok());
      const std::vector<std::string> names =
          PosixFileSystem().List(fmt::format("{}/{}", FixturePath(), directory)).value();
      for (const std::string& name : names) {
        const std::string path = fmt::format("{}/{}", directory, name);
        ASSERT_TRUE(files.WriteFileAtomically(path, FixtureText(path)).ok());
      }
    }
  }

  static void Record();
  static machine::Result Do(ReplicaCluster& cluster, machine::Command command) {
    const WriteOutcome outcome = cluster.life("n1").Propose(std::move(command));
    cluster.RunUntil([&] { return outcome->has_value(); }, "the write is answered");
    cluster.Run(std::chrono::milliseconds(5));  // Snapshots are begun by ticks.
    return (*outcome)->applied;
  }

  CrashFileSystem files;
};

std::string DigestText(const store::Digest& digest) {
  return fmt::format("{:016x}{:016x}", digest.high, digest.low);
}

std::string MembersText(const raft::Membership& membership) {
  std::string text = fmt::format("cluster {}\n", membership.cluster_id());
  for (const auto& [id, member] : membership.members()) {
    text += fmt::format("member {} instance {} at {}{}\n", member.name, member.instance_id,
                        member.rpc_address, membership.IsVoter(id) ? "" : ", learner");
  }
  return text;
}

std::string StateText(machine::Machine& machine) {
  std::string text = fmt::format("revision {} keys {} sessions {} time {} digest {}\n",
                                 machine.revision(), machine.stats().keys, machine.sessions(),
                                 machine.time(), DigestText(machine.digest()));
  const auto view = machine.TakeView();
  for (store::Cursor cursor = view->Seek(""); cursor.item() != nullptr; cursor.Next()) {
    const store::Item& item = *cursor.item();
    text += fmt::format("item {} created {} modified {} version {} lease {}: {} bytes {:016x}\n",
                        item.key(), item.create_revision(), item.mod_revision(), item.version(),
                        item.lease(), item.value().size(), Checksum64(item.value()));
  }
  return text;
}

std::string BlocksText(FileSystem& files, const std::string& path) {
  const auto file = files.Open(path, FileSystem::OpenMode::kRead).value();
  snapshot::Reader reader = snapshot::Reader::Open(*file, path).value();
  std::string text;
  for (;;) {
    const auto block = reader.Next();
    EXPECT_TRUE(block.ok()) << block.status();
    if (!block.ok() || !block->has_value()) return text;
    text += fmt::format("block {} of {} records, {} bytes\n", (*block)->section, (*block)->records,
                        (*block)->payload.size());
  }
}

// Of the snapshot alone, then of all together.
std::string FoundText(FileSystem& files) {
  const std::string path = ListSnapshots(files, kPaths.snapshots).value().front();
  absl::StatusOr<LoadedSnapshot> loaded = LoadSnapshot(files, path);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  if (!loaded.ok()) return "";
  std::string text = fmt::format("-- {}: entry {} of term {}\n", path, loaded->meta.last.index,
                                 loaded->meta.last.term);
  text += BlocksText(files, path);
  text += MembersText(*loaded->meta.membership);
  machine::Machine machine;
  machine.Install(std::move(loaded->state));
  text += StateText(machine);
  const absl::StatusOr<SalvagedState> state = Salvage(files, kPaths);
  EXPECT_TRUE(state.ok()) << state.status();
  if (!state.ok()) return "";
  text += fmt::format("-- with the log: entry {} of term {}, {} known to be committed\n",
                      state->last.index, state->last.term, state->committed);
  text += MembersText(*state->membership);
  return text + StateText(*state->machine);
}

// Items that were changed, deleted and made again; a session with answers, also of a condition that
// failed; members and a learner; all of that in the snapshot, and some more of it in the log.
void StateFixtures::Record() {
  ClusterOptions options{.nodes = 2};
  options.life.snapshot_log_bytes = 8 << 10;
  options.life.segment_bytes = 32 << 10;
  options.life.trailing_entries = 4;
  ReplicaCluster cluster(options);
  cluster.Form();
  const SessionId session =
      Do(cluster, machine::OpenSession{.ttl_ms = 3'600'000, .subject = std::string(kSubject)})
          .session;
  Do(cluster, InSession(session, 1, store::Set{"in a session", "first", {}}));
  Do(cluster, InSession(session, 2, store::Set{"in a session", "not done", Revision(0)}));
  Do(cluster, store::Set{"made again", "before", {}});
  Do(cluster, store::Delete{"made again", {}});
  Do(cluster, store::Set{"made again", "after", {}});
  Do(cluster, store::Set{"bytes", std::string("\0\xff\n", 3), {}});
  Do(cluster, store::Set{"empty", "", {}});
  const auto taken = [&] { return cluster.replica("n1").report().snapshots.taken; };
  for (int i = 0; taken() < 4; ++i) {
    Do(cluster, BulkSet(i % kKeys, static_cast<char>('a' + i % 26)));
  }
  Do(cluster, InSession(session, 3, store::Set{"in a session", "behind the snapshot", {}}));
  Do(cluster, store::Delete{"empty", {}});
  const StatusOutcome removed =
      cluster.life("n1").Request({.kind = AdminRequest::Kind::kRemoveMember, .name = "n2"});
  cluster.RunUntil([&] { return removed->has_value(); }, "n2 is removed");
  cluster.Run(std::chrono::seconds(1));
  cluster.Kill("n1");

  FileSystem& disk = PosixFileSystem();
  CrashFileSystem& files = cluster.files("n1");
  const std::string fixture = fmt::format("{}/v{}", MOKV_REPLICA_TESTDATA, snapshot::kVersion);
  const auto copy = [&](const std::string& path) {
    ASSERT_TRUE(disk.WriteFileAtomically(fixture + "/" + path, files.Contents(path)).ok());
  };
  for (const char* directory : {"log", "snapshots"}) {
    ASSERT_TRUE(disk.CreateDirectories(fmt::format("{}/{}", fixture, directory)).ok());
    const std::vector<std::string> left =
        disk.List(fmt::format("{}/{}", fixture, directory)).value();
    for (const std::string& name : left) {
      ASSERT_TRUE(disk.Remove(fmt::format("{}/{}/{}", fixture, directory, name)).ok());
    }
  }
  const std::vector<std::string> names = files.List("log").value();
  for (const std::string& name : names) {
    if (name.ends_with(".seg")) copy("log/" + name);
  }
  copy(ListSnapshots(files, "snapshots").value().front());
  ASSERT_TRUE(disk.WriteFileAtomically(fixture + "/found.txt", FoundText(files)).ok());
  ASSERT_TRUE(
      disk.WriteFileAtomically(fixture + "/session.txt", fmt::format("{}\n", session)).ok());
}

TEST_P(StateFixtures, IsFoundAsItWasWritten) {
  EXPECT_EQ(FoundText(files), FixtureText("found.txt"));
}

// The newest version still writes what it wrote.
TEST_P(StateFixtures, IsWrittenAsItWas) {
  if (GetParam() != snapshot::kVersion) return;
  const std::string path = ListSnapshots(files, kPaths.snapshots).value().front();
  absl::StatusOr<LoadedSnapshot> loaded = LoadSnapshot(files, path);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  machine::Machine machine;
  machine.Install(std::move(loaded->state));
  SnapshotStream stream(loaded->meta, machine.Freeze());
  std::string written;
  for (std::string bytes = stream.Next(); !bytes.empty(); bytes = stream.Next()) written += bytes;
  EXPECT_TRUE(written == files.Contents(path)) << "the files differ";
}

// Goal: a node that starts on it has that state, goes on with it, and knows what it has answered.
TEST_P(StateFixtures, GoesOn) {
  FakeClock clock;
  NoPeers peers;
  NodeLife life(files, clock, peers, {.name = "n1", .instance_id = "disk-1"});
  ASSERT_TRUE(life.started.ok()) << life.started;
  const auto until = [&](const std::function<bool()>& condition) {
    for (int i = 0; i < 1000 && !condition(); ++i) {
      life.RunAll();
      clock.now = clock.now + std::chrono::milliseconds(10);
      life.RingAlarm();
      life.replica->Tick();
    }
    ASSERT_TRUE(condition());
  };
  until([&] { return life.serving; });
  const std::string found = FixtureText("found.txt");
  EXPECT_THAT(found, ::testing::HasSubstr("digest " + DigestText(life.machine.digest())));
  const auto propose = [&](machine::Command command) {
    const WriteOutcome outcome = life.Propose(std::move(command));
    until([&] { return outcome->has_value(); });
    return (*outcome)->applied;
  };
  const SessionId session(std::stoull(FixtureText("session.txt")));
  const machine::Result again =
      propose(InSession(session, 1, store::Set{"in a session", "again", {}}));
  EXPECT_EQ(again.outcome, machine::Result::Outcome::kApplied);
  EXPECT_EQ(again.revision, Revision(1));
  const machine::Result failed =
      propose(InSession(session, 2, store::Set{"in a session", "not done", Revision(0)}));
  EXPECT_EQ(failed.outcome, machine::Result::Outcome::kConditionFailed);
  const auto view = life.machine.TakeView();
  EXPECT_EQ(view->Find("in a session")->value(), "behind the snapshot");
  const machine::Result next = propose(store::Set{"new", "value", {}});
  EXPECT_EQ(next.revision, Revision(view->revision().value() + 1));
}

INSTANTIATE_TEST_SUITE_P(EveryVersion, StateFixtures, ::testing::Range(1u, snapshot::kVersion + 1),
                         [](const auto& instance) {
                           return fmt::format("Version{}", instance.param);
                         });

}  // namespace
}  // namespace mokv::replica::testing
