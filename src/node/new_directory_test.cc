#include "node/new_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/logging.h"
#include "base/status.h"
#include "base/testing/crash_file_system.h"
#include "machine/command.h"
#include "node/data_directory.h"
#include "replica/salvage.h"

namespace mokv {
namespace {

using ::testing::HasSubstr;

constexpr EntryId kLast = {Index(70), Term(4)};

class NewDirectory : public ::testing::Test {
 protected:
  NewDirectory() {
    SetLogLevel(LogLevel::kError);  // Of disks that are full.
    std::vector<Entry> entries;
    for (int i = 0; i < 20; ++i) {
      entries.push_back({.index = Index(static_cast<uint64_t>(i) + 1),
                         .term = Term(1),
                         .type = EntryType::kCommand,
                         .payload = std::make_shared<const std::string>(machine::EncodeCommand(
                             store::Set{fmt::format("k{}", i % 7), fmt::to_string(i)}))});
    }
    std::vector<machine::Result> results;
    EXPECT_TRUE(machine_.Apply(entries, results).ok());
    machine_.Publish();
  }

  ~NewDirectory() override { SetLogLevel(LogLevel::kInfo); }

  absl::StatusOr<Identity> Make(FileSystem& files, const std::string& path = "/node/data") {
    MOKV_ASSIGN_OR_RETURN(const std::unique_ptr<FileLock> claim, ClaimEmpty(files, path));
    return MakeDataDirectory(files, path, "n1", kLast, machine_.Freeze());
  }

  CrashFileSystem files_;
  machine::Machine machine_;
};

TEST_F(NewDirectory, IsThatOfTheOnlyVoterWithAllTheState) {
  const auto made = Make(files_);
  ASSERT_TRUE(made.ok()) << made.status();
  DataDirectory directory(files_, "/node/data");
  ASSERT_TRUE(directory.Open("n1").ok());
  EXPECT_EQ(directory.identity(), *made);
  EXPECT_NE(made->cluster_id, "");
  const auto state = replica::Salvage(files_, {directory.snapshots_path(), directory.log_path()});
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->machine->digest(), machine_.digest());
  EXPECT_EQ(state->machine->revision(), machine_.revision());
  EXPECT_EQ(state->last, kLast);
  EXPECT_EQ(state->committed, kLast.index);
  EXPECT_EQ(state->membership->cluster_id(), made->cluster_id);
  const raft::NodeId id = raft::NodeIdOf("n1", made->instance_id);
  EXPECT_EQ(state->membership->voters(), raft::Membership::Ids{id});
}

TEST_F(NewDirectory, HasNewIdsEachTime) {
  const auto first = Make(files_);
  const auto second = Make(files_, "/node/other");
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_NE(first->cluster_id, second->cluster_id);
  EXPECT_NE(first->instance_id, second->instance_id);
}

TEST_F(NewDirectory, LeavesAloneWhatIsThere) {
  ASSERT_TRUE(files_.CreateDirectories("/node/data").ok());
  ASSERT_TRUE(files_.WriteFileAtomically("/node/data/something", "x").ok());
  const absl::Status status = Make(files_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("something"));
  EXPECT_EQ(files_.List("/node/data")->size(), 1u);
}

TEST_F(NewDirectory, IsClaimedByOneAlone) {
  const auto claim = ClaimEmpty(files_, "/node/data");
  ASSERT_TRUE(claim.ok()) << claim.status();
  EXPECT_FALSE(Make(files_).ok());
  DataDirectory node(files_, "/node/data");
  EXPECT_FALSE(node.Open("n1").ok());
}

TEST_F(NewDirectory, SaysThatThereIsNoSpace) {
  for (uint64_t bytes = 0; bytes < (70 << 10); bytes += 1000) {
    CrashFileSystem files;
    files.SetCapacity(bytes);
    const absl::Status status = Make(files).status();
    if (status.ok()) {
      EXPECT_GT(bytes, 64u << 10);
    } else {
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << bytes << ": " << status;
    }
  }
}

// Goal:   whenever the process or the machine dies, what is left does not start, or starts with all of
//         it; and once it is made, it lasts.
// Method: each change of the disk is once the last one, before a process's end and a power loss.
TEST_F(NewDirectory, HalfMadeDoesNotStart) {
  SeededRandom random(1);
  bool finished = false;
  for (uint64_t changes = 0; !finished; ++changes) {
    for (const bool power_fails : {false, true}) {
      CrashFileSystem files;
      files.StopAfter(changes);
      const auto identity = Make(files);
      const bool made = identity.ok();
      finished = !files.stopped();
      // Segments that are prepared for later are not waited for.
      ASSERT_TRUE(made || !finished) << identity.status();
      power_fails ? files.PowerLoss(random) : files.Restart();
      DataDirectory directory(files, "/node/data");
      const absl::Status opened = directory.Open("n1");
      if (made) {
        ASSERT_TRUE(opened.ok()) << opened;
      } else if (opened.ok() && directory.identity().cluster_id.empty()) {
        // Nothing of it has lasted: what starts here is a new node without anything.
        EXPECT_FALSE(files.List(directory.log_path()).ok());
        continue;
      } else if (!opened.ok()) {
        EXPECT_THAT(std::string(MessageOf(opened)), HasSubstr("its log is gone"));
        continue;
      }
      const auto state =
          replica::Salvage(files, {directory.snapshots_path(), directory.log_path()});
      ASSERT_TRUE(state.ok()) << "after change " << changes << ": " << state.status();
      EXPECT_EQ(state->machine->digest(), machine_.digest());
    }
  }
}

}  // namespace
}  // namespace mokv
