#include "node/reloading.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "base/status.h"
#include "base/testing/fake_clock.h"
#include "base/testing/scratch_directory.h"

namespace mokv {
namespace {

// One thing that is watched, of one file, whose text is its content; "broken" cannot be used.
class ReloadingTest : public ::testing::Test {
 protected:
  ReloadingTest() {
    Write("first");
    reloading_.Watch("rules", {directory_.PathOf("file"), ""});
    reloading_.SetLoad("rules", [this] {
      std::string text;
      std::getline(std::ifstream(directory_.PathOf("file")), text);
      ++loads_;
      if (during_load_) during_load_();
      if (text == "broken") return InvalidArgument("file: it is broken");
      in_use_ = text;
      return absl::OkStatus();
    });
  }

  // In its place, by a rename.
  void Write(const std::string& text) {
    std::ofstream(directory_.PathOf("new")) << text << std::endl;
    std::filesystem::rename(directory_.PathOf("new"), directory_.PathOf("file"));
  }
  // As often as a change needs to be taken for settled.
  void LookTwice() {
    for (int i = 0; i < 2; ++i) {
      clock_.now = clock_.now + std::chrono::seconds(1);
      reloading_.Look(/*asked=*/false);
    }
  }
  Reloading::Counts counts() const { return reloading_.counts().at("rules"); }

  ScratchDirectory directory_;
  FakeClock clock_;
  Reloading reloading_{clock_};
  int loads_ = 0;
  std::function<void()> during_load_;
  std::string in_use_;
};

TEST_F(ReloadingTest, ReadsNothingThatHasNotChanged) {
  LookTwice();
  EXPECT_EQ(loads_, 0);
  EXPECT_EQ(counts().done, 0u);
}

TEST_F(ReloadingTest, UsesWhatIsNew) {
  Write("second");
  LookTwice();
  LookTwice();
  EXPECT_EQ(in_use_, "second");
  EXPECT_EQ(loads_, 1);
  EXPECT_EQ(counts().done, 1u);
}

TEST_F(ReloadingTest, KeepsAndTellsWhatCannotBeUsed) {
  Write("second");
  LookTwice();
  Write("broken");
  LookTwice();
  EXPECT_EQ(in_use_, "second");
  EXPECT_EQ(counts().failed, 1u);
  EXPECT_EQ(counts().failure, "file: it is broken");
  Write("third");
  LookTwice();
  EXPECT_EQ(in_use_, "third");
  EXPECT_EQ(counts().failure, "");
  EXPECT_EQ(counts().done, 2u);
}

// Goal: a certificate that is not valid yet is in use once it is, though its file stays as it is.
TEST_F(ReloadingTest, TriesAgainWhatCouldNotBeUsed) {
  Write("broken");
  LookTwice();
  ASSERT_EQ(loads_, 1);
  clock_.now = clock_.now + ReloadSchedule::kRetryInterval;
  reloading_.Look(/*asked=*/false);
  EXPECT_EQ(loads_, 2);
}

TEST_F(ReloadingTest, ReadsAllAtOnceWhenItIsAsked) {
  reloading_.Look(/*asked=*/true);
  EXPECT_EQ(in_use_, "first");
  EXPECT_EQ(counts().done, 1u);
}

TEST_F(ReloadingTest, WithoutFilesNothingIsWatched) {
  reloading_.Watch("keys", {"", ""});
  reloading_.SetLoad("keys", [] { return InvalidArgument("is not called"); });
  reloading_.Look(/*asked=*/true);
  EXPECT_EQ(reloading_.counts().count("keys"), 0u);
}

// Goal: a pipe, which would hold up whoever opens it, is not opened.
TEST_F(ReloadingTest, ReadsRegularFilesOnly) {
  std::filesystem::remove(directory_.PathOf("file"));
  ASSERT_EQ(mkfifo(directory_.PathOf("file").c_str(), 0600), 0);
  LookTwice();
  EXPECT_EQ(loads_, 0);
  EXPECT_EQ(counts().failed, 1u);
  EXPECT_THAT(counts().failure, testing::HasSubstr("file is not a regular file"));
}

// Goal: files that hang are told, though nobody can look at any any more.
TEST_F(ReloadingTest, TellsOfALookThatDoesNotEnd) {
  std::string failure_before;
  std::string failure;
  during_load_ = [&] {
    failure_before = counts().failure;
    clock_.now = clock_.now + Reloading::kLookMax + std::chrono::seconds(1);
    failure = counts().failure;
  };
  Write("second");
  LookTwice();
  EXPECT_EQ(failure_before, "");
  EXPECT_THAT(failure, testing::HasSubstr("to read its files has taken 11 s"));
  EXPECT_EQ(counts().failure, "") << "it has ended";
}

}  // namespace
}  // namespace mokv
