// The dump for people.
#include "wal/dump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "wal/log_harness.h"

namespace mokv::wal {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kDirectory = "/data/log";

std::string Dump(CrashFileSystem& files, DumpSummary* summary = nullptr) {
  std::string text;
  const auto result = DumpLog(files, std::string(kDirectory), [&](std::string_view line) {
    text += line;
    text += '\n';
  });
  EXPECT_TRUE(result.ok()) << result.status();
  if (result.ok() && summary != nullptr) *summary = *result;
  return text;
}

TEST(LogDump, ChangesNothingAndDisturbsNobody) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 3; ++i) harness.Write(i, 1, "payload");
  const uint64_t operations = harness.files.operation_count();
  DumpSummary summary;
  EXPECT_THAT(Dump(harness.files, &summary),
              HasSubstr("entry 3 term 1 command 7 bytes \"payload\""));
  EXPECT_EQ(summary.entries, 3u);
  EXPECT_EQ(summary.damages, 0u);
  EXPECT_EQ(harness.files.operation_count(), operations);
  harness.Write(4, 1, "and on it goes");
  EXPECT_TRUE(harness.failures.empty());
}

TEST(LogDump, SaysWhereALogIsDamagedAndGoesOn) {
  LogHarness harness(2048);
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 6; ++i) harness.Write(i, 1, std::string(600, 'x'));
  harness.Kill();
  harness.files.FlipBit(harness.PathOf(1), 8 * 400);  // In the first entry.
  harness.files.FlipBit(harness.PathOf(2), 8 * 20);   // In the header.
  DumpSummary summary;
  const std::string text = Dump(harness.files, &summary);
  EXPECT_EQ(summary.damages, 2u);
  EXPECT_EQ(summary.entries, 5u);
  EXPECT_THAT(text, HasSubstr("0xc0 damaged: nothing that verifies up to 0x3"));
  EXPECT_THAT(text, HasSubstr(harness.PathOf(2) + ": damaged at offset 0"));
  EXPECT_THAT(text, HasSubstr("entry 6"));
}

TEST(LogDump, NewerVersionAndMissingDirectoryAreTold) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  harness.Write(1, 1, "x");
  harness.Kill();
  harness.files.Damage(harness.PathOf(1), 8, "\7");
  EXPECT_THAT(Dump(harness.files), HasSubstr("has log format version 7"));
  EXPECT_TRUE(absl::IsNotFound(DumpLog(harness.files, "/none", [](std::string_view) {}).status()));
}

}  // namespace
}  // namespace mokv::wal
