// The simulated disk itself: a test that rests on it is worth what it loses.
#include "base/testing/crash_file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "base/status.h"

namespace mokv {
namespace {

using ::testing::ElementsAre;

constexpr auto kNew = FileSystem::OpenMode::kCreateNew;

class CrashFileSystemTest : public ::testing::Test {
 protected:
  CrashFileSystemTest() { EXPECT_TRUE(files_.CreateDirectories("/d").ok()); }

  std::unique_ptr<File> Create(CrashFileSystem& files, const std::string& path) {
    auto file = files.Open(path, kNew);
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }

  CrashFileSystem files_;
};

TEST_F(CrashFileSystemTest, KeepsWhatWasSyncedWhateverHappens) {
  SeededRandom random(1);
  const auto file = Create(files_, "/d/a");
  ASSERT_TRUE(file->WriteAt(0, "synced").ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(files_.SyncDirectory("/d").ok());
  for (int i = 0; i < 100; ++i) {
    files_.PowerLoss(random);
    ASSERT_EQ(files_.Contents("/d/a"), "synced");
  }
}

// All of it is there, but for up to eight words at the end of the last write, where the disk has what
// was there before.
TEST_F(CrashFileSystemTest, TearsTheLastWriteNearItsEnd) {
  std::set<size_t> kept;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    CrashFileSystem files;
    ASSERT_TRUE(files.CreateDirectories("/d").ok());
    const auto file = Create(files, "/d/a");
    ASSERT_TRUE(file->WriteAt(0, std::string(400, 'o')).ok());
    ASSERT_TRUE(file->Sync().ok());
    ASSERT_TRUE(files.SyncDirectory("/d").ok());
    ASSERT_TRUE(file->WriteAt(0, std::string(200, 'n')).ok());
    ASSERT_TRUE(file->WriteAt(200, std::string(200, 'n')).ok());
    SeededRandom random(seed);
    files.PowerLossNearEnd(random);
    const std::string contents = files.Contents("/d/a");
    const size_t end = contents.find('o');
    kept.insert(end == std::string::npos ? contents.size() : end);
  }
  EXPECT_THAT(kept, ElementsAre(336, 344, 352, 360, 368, 376, 384, 392, 400));
}

// Every set of sectors is possible, whatever the order of the writes.
TEST_F(CrashFileSystemTest, KeepsAnySetOfUnsyncedSectors) {
  std::set<std::string> seen;
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    CrashFileSystem files;
    ASSERT_TRUE(files.CreateDirectories("/d").ok());
    const auto file = Create(files, "/d/a");
    ASSERT_TRUE(file->WriteAt(0, std::string(1536, 'o')).ok());
    ASSERT_TRUE(file->Sync().ok());
    ASSERT_TRUE(files.SyncDirectory("/d").ok());
    for (uint64_t sector = 0; sector < 3; ++sector) {
      ASSERT_TRUE(file->WriteAt(sector * 512, std::string(512, 'n')).ok());
    }
    SeededRandom random(seed);
    files.PowerLoss(random);
    const std::string contents = files.Contents("/d/a");
    seen.insert({contents[0], contents[600], contents[1200]});
  }
  EXPECT_EQ(seen.size(), 8u);
}

TEST_F(CrashFileSystemTest, TearsAWriteAtAnyByte) {
  std::set<size_t> lengths;
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    CrashFileSystem files;
    ASSERT_TRUE(files.CreateDirectories("/d").ok());
    const auto file = Create(files, "/d/a");
    ASSERT_TRUE(files.SyncDirectory("/d").ok());
    ASSERT_TRUE(file->WriteAt(0, "0123456789").ok());
    SeededRandom random(seed);
    files.PowerLoss(random);
    lengths.insert(files.Contents("/d/a").size());
  }
  EXPECT_EQ(lengths.size(), 11u);
}

TEST_F(CrashFileSystemTest, LosesUnsyncedNamesInAnySet) {
  std::set<std::vector<std::string>> seen;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    CrashFileSystem files;
    ASSERT_TRUE(files.CreateDirectories("/d").ok());
    Create(files, "/d/old");
    ASSERT_TRUE(files.SyncDirectory("/d").ok());
    ASSERT_TRUE(files.Rename("/d/old", "/d/new").ok());
    Create(files, "/d/other");
    SeededRandom random(seed);
    files.PowerLoss(random);
    seen.insert(files.List("/d").value());
  }
  EXPECT_THAT(seen, ElementsAre(ElementsAre("new"), ElementsAre("new", "other"), ElementsAre("old"),
                                ElementsAre("old", "other")));
}

TEST_F(CrashFileSystemTest, FullDiskRefusesGrowthOnly) {
  const auto file = Create(files_, "/d/a");
  ASSERT_TRUE(file->Preallocate(100).ok());
  files_.SetCapacity(150);
  EXPECT_TRUE(file->WriteAt(0, std::string(100, 'x')).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(file->Preallocate(200)));
  EXPECT_EQ(*file->Size(), 100u);
  EXPECT_TRUE(absl::IsResourceExhausted(file->WriteAt(90, std::string(100, 'y'))));
  EXPECT_EQ(*file->Size(), 150u);  // As much as fits.
  files_.SetCapacity(std::nullopt);
  EXPECT_TRUE(file->Preallocate(200).ok());
  EXPECT_EQ(files_.used_bytes(), 200u);
}

TEST_F(CrashFileSystemTest, FailedSyncIsNotMadeUpForByTheNext) {
  SeededRandom random(1);
  const auto file = Create(files_, "/d/a");
  ASSERT_TRUE(files_.SyncDirectory("/d").ok());
  ASSERT_TRUE(file->WriteAt(0, "lost").ok());
  files_.SetFault([](CrashFileSystem::Operation operation, const std::string& path) {
    return operation == CrashFileSystem::Operation::kSync ? Unavailable("{}: broken", path)
                                                          : absl::OkStatus();
  });
  EXPECT_FALSE(file->Sync().ok());
  files_.SetFault(nullptr);
  EXPECT_TRUE(file->Sync().ok());
  EXPECT_EQ(files_.Contents("/d/a"), "lost");
  files_.PowerLoss(random);
  EXPECT_EQ(files_.Contents("/d/a"), "");
}

TEST_F(CrashFileSystemTest, HangingSyncWaitsUntilItIsLet) {
  const auto file = Create(files_, "/d/a");
  files_.HangSyncs(true);
  std::thread syncer([&] { EXPECT_TRUE(file->Sync().ok()); });
  // Others go on.
  EXPECT_TRUE(files_.List("/d").ok());
  EXPECT_EQ(files_.sync_count(), 0u);
  files_.HangSyncs(false);
  syncer.join();
  EXPECT_EQ(files_.sync_count(), 1u);
}

TEST_F(CrashFileSystemTest, CloneIsAnotherDisk) {
  ASSERT_TRUE(Create(files_, "/d/a")->WriteAt(0, "same").ok());
  const auto clone = files_.Clone();
  clone->FlipBit("/d/a", 0);
  EXPECT_EQ(clone->Contents("/d/a"), "rame");
  EXPECT_EQ(files_.Contents("/d/a"), "same");
}

}  // namespace
}  // namespace mokv
