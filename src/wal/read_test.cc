// Reading entries back from a log that is in use.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "wal/log_harness.h"

namespace mokv::wal {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<std::string> Payloads(const absl::StatusOr<std::vector<Entry>>& entries) {
  EXPECT_TRUE(entries.ok()) << entries.status();
  std::vector<std::string> texts;
  for (const Entry& entry : *entries) {
    texts.push_back(fmt::format("{}/{} {}", entry.index, entry.term, entry.bytes()));
  }
  return texts;
}

TEST(LogRead, GoesFromFilesOnIntoTheQueue) {
  LogHarness harness(2048);
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 20; ++i) harness.Write(i, 1, std::string(300, 'd'));
  for (uint64_t i = 21; i <= 25; ++i) harness.Append({.entries = {MakeEntry(i, 1, "queued")}});
  const auto all = harness.log->Read(Index(1), UINT64_MAX);
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_THAT(*all, SizeIs(25));
  for (uint64_t i = 1; i <= 25; ++i) {
    EXPECT_EQ((*all)[i - 1].index, Index(i));
    EXPECT_EQ((*all)[i - 1].bytes(), i <= 20 ? std::string(300, 'd') : "queued");
  }
  EXPECT_THAT(*harness.log->Read(Index(26), 1000), IsEmpty());
}

TEST(LogRead, KeepsToTheBytesButGivesAtLeastOne) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 10; ++i) harness.Write(i, 1, std::string(100, 'x'));
  for (uint64_t i = 11; i <= 20; ++i) {
    harness.Append({.entries = {MakeEntry(i, 1, std::string(100, 'y'))}});
  }
  EXPECT_THAT(*harness.log->Read(Index(5), 0), SizeIs(1));
  EXPECT_THAT(*harness.log->Read(Index(5), 99), SizeIs(1));
  EXPECT_THAT(*harness.log->Read(Index(5), 399), SizeIs(3));
  EXPECT_THAT(*harness.log->Read(Index(8), 500), SizeIs(5));
  EXPECT_THAT(*harness.log->Read(Index(15), 1), SizeIs(1));
}

// Truncated entries lie in the files before those that replaced them.
TEST(LogRead, SeesTruncationsDurableOrNot) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 6; ++i) harness.Write(i, 1, "old");
  harness.Append({.truncate_from = Index(4)});
  EXPECT_THAT(*harness.log->Read(Index(2), 1000), SizeIs(2));
  harness.Append({.entries = {MakeEntry(4, 2, "new")}});
  const std::vector<std::string> expected = {"3/1 old", "4/2 new"};
  EXPECT_EQ(Payloads(harness.log->Read(Index(3), 1000)), expected);
  harness.executor.RunAll();
  EXPECT_EQ(Payloads(harness.log->Read(Index(3), 1000)), expected);
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(Payloads(harness.log->Read(Index(3), 1000)), expected);
}

TEST(LogRead, RefusesWhatHasBeenCutOff) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 6; ++i) harness.Write(i, 1, "x");
  harness.CutHead(3);
  const absl::Status status = harness.log->Read(Index(3), 1000).status();
  EXPECT_TRUE(absl::IsOutOfRange(status));
  EXPECT_EQ(MessageOf(status), "entry 3 has been cut off; the log begins with 4");
  EXPECT_THAT(*harness.log->Read(Index(4), 1000), SizeIs(3));
  harness.ResetTo(9, 2);
  EXPECT_TRUE(absl::IsOutOfRange(harness.log->Read(Index(9), 1000).status()));
  EXPECT_THAT(*harness.log->Read(Index(10), 1000), IsEmpty());
}

TEST(LogRead, ChecksWhatItReads) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 6; ++i) harness.Write(i, 1, "x");
  harness.files.FlipBit(harness.PathOf(1), 8 * 400);
  const absl::Status status = harness.log->Read(Index(1), 1000).status();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(MessageOf(status)),
              HasSubstr(harness.PathOf(1) + ": damaged at offset "));
}

}  // namespace
}  // namespace mokv::wal
