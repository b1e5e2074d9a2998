#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/status.h"
#include "base/testing/scratch_directory.h"

namespace mokv {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PosixFileTest : public ::testing::Test {
 protected:
  std::string PathOf(std::string_view name) const { return directory_.PathOf(name); }

  std::unique_ptr<File> Create(std::string_view name) {
    auto file = files_.Open(PathOf(name), FileSystem::OpenMode::kCreateNew);
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }

  FileSystem& files_ = PosixFileSystem();
  ScratchDirectory directory_;
};

TEST_F(PosixFileTest, WritesAndReadsAtOffsets) {
  const auto file = Create("a");
  ASSERT_TRUE(file->WriteAt(4, "later").ok());
  ASSERT_TRUE(file->WriteAt(0, "soon").ok());
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_EQ(*file->Size(), 9u);
  EXPECT_EQ(*file->ReadAt(0, 9), "soonlater");
  EXPECT_EQ(*file->ReadAt(2, 4), "onla");
  // A read past the end is shorter, however much was asked for.
  EXPECT_EQ(*file->ReadAt(7, UINT64_MAX), "er");
  EXPECT_EQ(*file->ReadAt(100, 5), "");
}

TEST_F(PosixFileTest, PreallocatesZeroBytesAndKeepsContents) {
  const auto file = Create("a");
  ASSERT_TRUE(file->WriteAt(0, "x").ok());
  ASSERT_TRUE(file->Preallocate(8192).ok());
  EXPECT_EQ(*file->Size(), 8192u);
  EXPECT_EQ(*file->ReadAt(0, 3), std::string_view("x\0\0", 3));
  ASSERT_TRUE(file->Preallocate(10).ok());
  EXPECT_EQ(*file->Size(), 8192u);  // Never shrinks.
  ASSERT_TRUE(file->Truncate(1).ok());
  EXPECT_EQ(*file->Size(), 1u);
}

TEST_F(PosixFileTest, ErrorsNamePathAndOperation) {
  const absl::Status missing =
      files_.Open(PathOf("none"), FileSystem::OpenMode::kReadWrite).status();
  EXPECT_TRUE(absl::IsNotFound(missing));
  EXPECT_THAT(std::string(MessageOf(missing)), HasSubstr("open " + PathOf("none")));

  Create("a");
  const absl::Status exists = files_.Open(PathOf("a"), FileSystem::OpenMode::kCreateNew).status();
  EXPECT_TRUE(absl::IsAlreadyExists(exists));
  EXPECT_THAT(std::string(MessageOf(exists)), HasSubstr("create " + PathOf("a")));

  const auto read_only = files_.Open(PathOf("a"), FileSystem::OpenMode::kRead);
  ASSERT_TRUE(read_only.ok());
  EXPECT_THAT(std::string(MessageOf((*read_only)->WriteAt(0, "x"))),
              HasSubstr("write " + PathOf("a")));

  EXPECT_TRUE(absl::IsNotFound(files_.Remove(PathOf("none"))));
  EXPECT_TRUE(absl::IsNotFound(files_.Rename(PathOf("none"), PathOf("b"))));
  EXPECT_TRUE(absl::IsNotFound(files_.List(PathOf("none")).status()));
  EXPECT_TRUE(absl::IsNotFound(files_.SyncDirectory(PathOf("none"))));
  EXPECT_TRUE(absl::IsNotFound(files_.OpenDirectory(PathOf("none")).status()));
  EXPECT_FALSE(files_.CreateDirectories(PathOf("a")).ok());
  EXPECT_FALSE(files_.CreateDirectories(PathOf("a/below")).ok());
}

TEST_F(PosixFileTest, CreatesNestedDirectoriesAndListsSorted) {
  ASSERT_TRUE(files_.CreateDirectories(PathOf("x/y/z")).ok());
  ASSERT_TRUE(files_.CreateDirectories(PathOf("x/y/z/")).ok());  // Again: nothing to do.
  Create("x/b");
  Create("x/a");
  EXPECT_THAT(*files_.List(PathOf("x")), ElementsAre("a", "b", "y"));
  ASSERT_TRUE(files_.Rename(PathOf("x/b"), PathOf("x/c")).ok());
  ASSERT_TRUE(files_.Remove(PathOf("x/a")).ok());
  ASSERT_TRUE(files_.SyncDirectory(PathOf("x")).ok());
  ASSERT_TRUE((*files_.OpenDirectory(PathOf("x")))->Sync().ok());
  EXPECT_THAT(*files_.List(PathOf("x")), ElementsAre("c", "y"));
}

TEST_F(PosixFileTest, AtomicWriteReplacesAndLeavesNothingBehind) {
  Create("f.tmp");  // Left over from a crash.
  ASSERT_TRUE(files_.WriteFileAtomically(PathOf("f"), "one, and longer").ok());
  ASSERT_TRUE(files_.WriteFileAtomically(PathOf("f"), "two").ok());
  EXPECT_EQ(*files_.ReadFile(PathOf("f")), "two");
  EXPECT_THAT(*files_.List(directory_.path()), ElementsAre("f"));
  EXPECT_FALSE(files_.WriteFileAtomically(PathOf("none/f"), "x").ok());
  EXPECT_TRUE(absl::IsNotFound(files_.ReadFile(PathOf("none")).status()));
}

TEST_F(PosixFileTest, LockIsExclusiveAndNamesItsHolder) {
  {
    const auto lock = files_.Lock(PathOf("LOCK"));
    ASSERT_TRUE(lock.ok());
    // flock belongs to the open file, so a second one in this process is as strange as another's.
    const absl::Status second = files_.Lock(PathOf("LOCK")).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(second));
    EXPECT_EQ(std::string(MessageOf(second)),
              fmt::format("{} is locked by another process (pid {})", PathOf("LOCK"), getpid()));
  }
  EXPECT_TRUE(files_.Lock(PathOf("LOCK")).ok());
  EXPECT_TRUE(absl::IsNotFound(files_.Lock(PathOf("none/LOCK")).status()));
}

}  // namespace
}  // namespace mokv
