#include "node/reload_schedule.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/testing/scratch_directory.h"

namespace mokv {
namespace {

using std::chrono::seconds;

FileLooks Look(uint64_t inode, uint64_t size_bytes = 1) {
  return {{.exists = true, .inode = inode, .size_bytes = size_bytes}};
}

class ReloadScheduleTest : public testing::Test {
 protected:
  bool Asks(const FileLooks& look, bool asked = false) {
    now_ = now_ + seconds(1);
    return schedule_.IsTimeToLoad(look, now_, asked);
  }
  void Loaded(const FileLooks& look, bool ok) { schedule_.OnLoaded(look, now_, ok); }

  MonotonicTime now_ = MonotonicTime() + seconds(100);
  ReloadSchedule schedule_{Look(1)};
};

TEST_F(ReloadScheduleTest, NothingChangesNothingIsRead) {
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(Asks(Look(1)));
}

TEST_F(ReloadScheduleTest, AChangeIsReadOnceNothingChangesAnyMore) {
  EXPECT_FALSE(Asks(Look(2)));
  EXPECT_FALSE(Asks(Look(2, 5)));
  EXPECT_TRUE(Asks(Look(2, 5)));
  Loaded(Look(2, 5), true);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(Asks(Look(2, 5)));
}

TEST_F(ReloadScheduleTest, WhatWasChangedBackIsNotRead) {
  EXPECT_FALSE(Asks(Look(2)));
  EXPECT_FALSE(Asks(Look(1)));
  EXPECT_FALSE(Asks(Look(1)));
}

TEST_F(ReloadScheduleTest, WhatCannotBeUsedIsTriedAgainNowAndThen) {
  EXPECT_FALSE(Asks(Look(2)));
  EXPECT_TRUE(Asks(Look(2)));
  Loaded(Look(2), false);
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(Asks(Look(2)));
  EXPECT_TRUE(Asks(Look(2)));
  Loaded(Look(2), true);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(Asks(Look(2)));
}

TEST_F(ReloadScheduleTest, WhoeverAsksGetsItAtOnce) {
  EXPECT_TRUE(Asks(Look(1), true));
  Loaded(Look(1), true);
  EXPECT_FALSE(Asks(Look(1)));
  EXPECT_TRUE(Asks(Look(2), true));
  Loaded(Look(2), true);
  EXPECT_FALSE(Asks(Look(2)));
}

class LookAtTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return directory_.PathOf(name); }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name)) << text;
  }
  FileLooks Look() const { return LookAt({Path("file")}); }

  ScratchDirectory directory_;
};

TEST_F(LookAtTest, SeesEveryWayToReplaceAFile) {
  EXPECT_FALSE(Look().front().exists);
  Write("file", "one");
  const FileLooks first = Look();
  EXPECT_TRUE(first.front().exists);
  EXPECT_EQ(Look(), first);
  Write("file", "longer");
  const FileLooks in_place = Look();
  EXPECT_NE(in_place, first);
  Write("new", "longer");
  std::filesystem::rename(Path("new"), Path("file"));
  EXPECT_NE(Look(), in_place);
  std::filesystem::remove(Path("file"));
  EXPECT_NE(Look(), in_place);
}

// As Kubernetes mounts secrets: the file is a link through a link that is replaced.
TEST_F(LookAtTest, SeesALinkThatLeadsElsewhere) {
  std::filesystem::create_directory(Path("v1"));
  std::filesystem::create_directory(Path("v2"));
  Write("v1/file", "same");
  Write("v2/file", "same");
  std::filesystem::create_symlink("v1", Path("data"));
  std::filesystem::create_symlink("data/file", Path("file"));
  const FileLooks before = Look();
  EXPECT_TRUE(before.front().exists);
  std::filesystem::create_symlink("v2", Path("data-new"));
  std::filesystem::rename(Path("data-new"), Path("data"));
  EXPECT_NE(Look(), before);
}

}  // namespace
}  // namespace mokv
