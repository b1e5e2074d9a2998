#include "snapshot/directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/crash_file_system.h"

namespace mokv::snapshot {
namespace {

using ::testing::ElementsAre;

constexpr EntryId kOne{Index(10), Term(2)};
constexpr EntryId kTwo{Index(0x123456789abc), Term(7)};

TEST(FileName, IsReadBack) {
  EXPECT_EQ(FileName(kOne), "snapshot-000000000000000a-0000000000000002.snap");
  for (const EntryId& last : {kOne, kTwo}) EXPECT_EQ(ParseFileName(FileName(last)), last);
  for (const char* name :
       {"", "snapshot-.snap", "snapshot-000000000000000a-0000000000000002.snap.writing",
        "snapshot-000000000000000A-0000000000000002.snap",
        "snapshot-00000000000000xa-0000000000000002.snap",
        "snapshot-+00000000000000a-0000000000000002.snap"}) {
    EXPECT_FALSE(ParseFileName(name).has_value()) << name;
  }
}

class DirectoryTest : public ::testing::Test {
 protected:
  void Make(EntryId last) {
    const std::string path = directory_.WrittenPathOf(last);
    const auto file = directory_.Create(path);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->WriteAt(0, "whole").ok());
    ASSERT_TRUE((*file)->Sync().ok());
    ASSERT_TRUE(directory_.Publish(path, last).ok());
  }

  CrashFileSystem files_;
  Directory directory_{files_, "snapshots"};
};

TEST_F(DirectoryTest, ListsTheNewestFirst) {
  ASSERT_TRUE(directory_.Open()->empty());
  Make(kOne);
  Make(kTwo);
  EXPECT_THAT(*directory_.Open(), ElementsAre(kTwo, kOne));
}

TEST_F(DirectoryTest, RemovesWhatWasLeftUnfinishedAndKeepsATransfer) {
  ASSERT_TRUE(directory_.Open().ok());
  ASSERT_TRUE(directory_.Create(directory_.WrittenPathOf(kOne)).ok());
  std::unique_ptr<File> file;
  EXPECT_EQ(*directory_.OpenFetched(kTwo, file), 0u);
  ASSERT_TRUE(file->WriteAt(0, "a part").ok());
  EXPECT_TRUE(directory_.Open()->empty());
  EXPECT_EQ(files_.List("snapshots")->size(), 1u);
  EXPECT_EQ(*directory_.OpenFetched(kTwo, file), 6u);
  // Only one is on its way at a time.
  EXPECT_EQ(*directory_.OpenFetched(kOne, file), 0u);
  EXPECT_EQ(files_.List("snapshots")->size(), 1u);
}

TEST_F(DirectoryTest, KeepsOneThatIsDamagedOutOfTheWay) {
  ASSERT_TRUE(directory_.Open().ok());
  Make(kOne);
  Make(kTwo);
  ASSERT_TRUE(directory_.SetAside(kTwo).ok());
  EXPECT_THAT(*directory_.Open(), ElementsAre(kOne));
  ASSERT_TRUE(directory_.SetAside(kOne).ok());
  EXPECT_THAT(*files_.List("snapshots"), ElementsAre(FileName(kOne) + ".damaged"));
}

TEST_F(DirectoryTest, NamedOnesSurviveAPowerFailure) {
  ASSERT_TRUE(directory_.Open().ok());
  Make(kOne);
  SeededRandom random(1);
  files_.PowerLoss(random);
  ASSERT_THAT(*directory_.Open(), ElementsAre(kOne));
  EXPECT_EQ(*files_.ReadFile(directory_.PathOf(kOne)), "whole");
}

}  // namespace
}  // namespace mokv::snapshot
