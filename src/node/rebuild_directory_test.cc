#include "node/rebuild_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include "base/status.h"
#include "base/testing/manual_executor.h"
#include "base/testing/scratch_directory.h"
#include "node/data_directory.h"
#include "replica/peers.h"

namespace mokv {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The machine's files, until the `n`th change, which fails as do all that follow: the process has died.
class DyingFiles : public FileSystem {
 public:
  explicit DyingFiles(int changes) : changes_left_(changes) {}

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    if (mode == OpenMode::kCreateNew) MOKV_RETURN_IF_ERROR(Change());
    return files_.Open(path, mode);
  }
  absl::StatusOr<std::vector<std::string>> List(const std::string& directory) override {
    return files_.List(directory);
  }
  absl::Status CreateDirectories(const std::string& directory) override {
    MOKV_RETURN_IF_ERROR(Change());
    return files_.CreateDirectories(directory);
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    MOKV_RETURN_IF_ERROR(Change());
    return files_.Rename(from, to);
  }
  absl::Status Remove(const std::string& path) override {
    MOKV_RETURN_IF_ERROR(Change());
    return files_.Remove(path);
  }
  absl::Status SyncDirectory(const std::string& directory) override {
    MOKV_RETURN_IF_ERROR(Change());
    return files_.SyncDirectory(directory);
  }
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    return files_.Lock(path);
  }
  bool died() const { return changes_left_ < 0; }

 private:
  absl::Status Change() {
    if (changes_left_ >= 0) --changes_left_;
    return died() ? Unavailable("the process has died") : absl::OkStatus();
  }

  FileSystem& files_ = PosixFileSystem();
  int changes_left_;
};

class RebuildTest : public ::testing::Test {
 protected:
  std::string data() const { return directory_.PathOf("data"); }
  void Write(const std::string& name, const std::string& bytes) {
    const std::filesystem::path path = data() + "/" + name;
    std::filesystem::create_directories(path.parent_path());
    ASSERT_TRUE(files_.WriteFileAtomically(path.string(), bytes).ok());
  }
  // A member's.
  void MakeMember() {
    Write("log/0001.seg", "entries");
    Write("snapshots/1.snap", "items");
    ASSERT_TRUE(SaveIdentity(files_, data(), kMember).ok());
  }
  std::vector<std::string> Names(const std::string& directory) {
    const auto names = files_.List(directory);
    return names.ok() ? *names : std::vector<std::string>();
  }
  absl::StatusOr<RebuiltDirectory> Rebuild(const std::string& name = "") {
    return RebuildDirectory(files_, data(), name, "replaced-now");
  }
  void ExpectRefused(const std::string& name, absl::StatusCode code, const std::string& text) {
    const std::vector<std::string> before = Names(data());
    const absl::Status status = Rebuild(name).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
    EXPECT_EQ(Names(data()), before);
  }

  const Identity kMember{"n1", "old", "cluster"};
  FileSystem& files_ = PosixFileSystem();
  ScratchDirectory directory_;
};

TEST_F(RebuildTest, MovesAllAsideAndSaysWhosePlaceItTakes) {
  MakeMember();
  Write("fenced", "differs");
  Write("keys.json", "the operator's own");
  const auto rebuilt = Rebuild();
  ASSERT_TRUE(rebuilt.ok()) << rebuilt.status();
  const std::string aside = data() + "/replaced-now";
  EXPECT_EQ(rebuilt->aside, aside);
  EXPECT_THAT(rebuilt->left, ElementsAre("keys.json"));
  EXPECT_THAT(Names(data()), ElementsAre("identity", "keys.json", "lock", "replaced-now"));
  EXPECT_THAT(Names(aside), ElementsAre("fenced", "identity", "log", "snapshots"));
  EXPECT_EQ(*files_.ReadFile(aside + "/log/0001.seg"), "entries");
  EXPECT_EQ(*files_.ReadFile(aside + "/fenced"), "differs");
  EXPECT_EQ(*DecodeIdentity("old", *files_.ReadFile(aside + "/identity")), kMember);
  DataDirectory directory(files_, data());
  ASSERT_TRUE(directory.Open("n1").ok());
  EXPECT_TRUE(directory.is_rebuilt());
  EXPECT_EQ(directory.identity(), rebuilt->identity);
  EXPECT_EQ(directory.identity().cluster_id, "cluster");
  EXPECT_NE(directory.identity().instance_id, "old");
  EXPECT_THAT(directory.identity().replaces, ElementsAre("old"));
}

// Goal: nothing of it is left once the node is a member.
TEST_F(RebuildTest, IsOverOnceTheNodeIsAMember) {
  MakeMember();
  ASSERT_TRUE(Rebuild().ok());
  {
    ManualExecutor background;
    DataDirectory directory(files_, data());
    ASSERT_TRUE(directory.Open("n1").ok());
    directory.KeepMembership("cluster", background);
    background.RunAll();
    EXPECT_FALSE(directory.is_rebuilt());
  }
  DataDirectory again(files_, data());
  // It is as any member now: without its log it does not start.
  EXPECT_THAT(std::string(again.Open("n1").message()), HasSubstr("its log is gone"));
  EXPECT_THAT(again.identity().replaces, IsEmpty());
}

TEST_F(RebuildTest, ADirectoryThatDoesNotSayWhoseItIsNeedsTheName) {
  ExpectRefused("", absl::StatusCode::kInvalidArgument, "--node-name");
  MakeMember();
  Write("identity", "damaged");
  ExpectRefused("", absl::StatusCode::kInvalidArgument, "--node-name");
  const auto damaged = Rebuild("n1");
  ASSERT_TRUE(damaged.ok()) << damaged.status();
  EXPECT_THAT(damaged->identity.replaces, ElementsAre(replica::kAnyInstance));
  EXPECT_EQ(*files_.ReadFile(damaged->aside + "/identity"), "damaged");
  std::filesystem::remove_all(data());
  const auto missing = Rebuild("n1");
  ASSERT_TRUE(missing.ok()) << missing.status();
  EXPECT_EQ(missing->aside, "");
  EXPECT_THAT(Names(data()), ElementsAre("identity", "lock"));
}

// Goal: an empty disk on which a node was started by mistake has an identity, but not the one that the
//       cluster knows.
TEST_F(RebuildTest, OneThatKnowsNoClusterTakesThePlaceOfAnybodyOfItsName) {
  std::filesystem::create_directories(data());
  ASSERT_TRUE(SaveIdentity(files_, data(), {"n1", "never a member", ""}).ok());
  const auto rebuilt = Rebuild();
  ASSERT_TRUE(rebuilt.ok()) << rebuilt.status();
  EXPECT_THAT(rebuilt->identity.replaces, ElementsAre(replica::kAnyInstance));
}

// Goal: a second time before the node is a member forgets nobody whose place it may have to take.
TEST_F(RebuildTest, MayBeDoneAgain) {
  MakeMember();
  const auto first = Rebuild();
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = Rebuild();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->aside, data() + "/replaced-now-2");
  EXPECT_THAT(second->identity.replaces, ElementsAre("old", first->identity.instance_id));
}

TEST_F(RebuildTest, RefusesWhatIsNotItsToTouch) {
  // As /var has them.
  Write("log/syslog", "lines");
  Write("spool/mail", "letters");
  ExpectRefused("n1", absl::StatusCode::kFailedPrecondition, "is not a node's data-dir");
  std::filesystem::remove_all(data());
  MakeMember();
  ExpectRefused("n2", absl::StatusCode::kFailedPrecondition, "belongs to node n1, not to n2");
  DataDirectory running(files_, data());
  ASSERT_TRUE(running.Open("n1").ok());
  ExpectRefused("", absl::StatusCode::kFailedPrecondition, "a node runs on");
}

// Goal:   wherever it is interrupted, the node starts as what it was or as what it is to be, or does not
//         start; and the command may be given again.
// Method: die at each change.
TEST_F(RebuildTest, MayBeInterruptedAnywhere) {
  for (int changes = 0;; ++changes) {
    SCOPED_TRACE(changes);
    std::filesystem::remove_all(data());
    MakeMember();
    DyingFiles dying(changes);
    const bool done = RebuildDirectory(dying, data(), "n1", "replaced-now").ok();
    {
      DataDirectory directory(files_, data());
      const absl::Status opened = directory.Open("n1");
      if (opened.ok() && directory.is_rebuilt()) {
        EXPECT_THAT(directory.identity().replaces, ElementsAre("old"));
        EXPECT_THAT(Names(data() + "/log"), IsEmpty());
      } else if (opened.ok()) {
        EXPECT_EQ(directory.identity(), kMember);
        EXPECT_THAT(Names(data() + "/log"), ElementsAre("0001.seg"));
        EXPECT_THAT(Names(data() + "/snapshots"), ElementsAre("1.snap"));
      } else {
        EXPECT_THAT(std::string(opened.message()), HasSubstr("mokvctl rebuild"));
      }
    }
    const auto again = Rebuild("n1");
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->identity.replaces.front(), "old");
    DataDirectory directory(files_, data());
    EXPECT_TRUE(directory.Open("n1").ok());
    EXPECT_THAT(Names(data() + "/log"), IsEmpty());
    if (done) break;
  }
}

}  // namespace
}  // namespace mokv
