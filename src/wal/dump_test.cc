// The dump for people, and the files of every format version that there has been.
//
// testdata/vN holds the files of a log as version N wrote them, what the dump says of them
// (dump.txt) and what a recovery finds in them (found.txt). They stay as they are: later versions
// prove with them that they still read version N. Only while a version is not released yet may its
// files be recorded anew, from the log that RecordedLog writes:
//   MOKV_RECORD=1 wal_test --gtest_filter='LogFixtures.*'
#include "wal/dump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/logging.h"
#include "base/status.h"
#include "wal/log_harness.h"

namespace mokv::wal {
namespace {

using ::testing::HasSubstr;

const std::string kFixtures = std::string(MOKV_WAL_TESTDATA) + "/v1";
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

std::string Found(LogHarness& harness) {
  const Recovery& recovery = harness.log->recovery();
  std::string text = fmt::format(
      "hard state term {} vote {} commit {}\nentries {} to {}, last term {}, before the first {}\n",
      recovery.hard_state.term, recovery.hard_state.vote, recovery.hard_state.commit,
      recovery.first_index, recovery.last_index, recovery.last_term,
      harness.log->TermAt(recovery.first_index - 1).value());
  for (const std::string& entry : harness.EntryTexts()) text += entry + "\n";
  return text;
}

// A log with every kind of record, over several segments, some of them in files used before.
void WriteRecordedLog(LogHarness& harness) {
  ASSERT_TRUE(harness.Open().ok());
  harness.executor.RunAll();
  for (uint64_t i = 1; i <= 13; ++i) harness.Write(i, 1, std::string(400, 'x'));
  harness.log->CutHead(Index(12));
  harness.executor.RunAll();
  harness.log->ResetTo(Index(100), Term(2));
  harness.executor.RunAll();
  Write first;
  first.entries = {
      {.index = Index(101), .term = Term(2), .type = EntryType::kConfiguration, .payload = nullptr},
      {.index = Index(102), .term = Term(2), .type = EntryType::kNoOp, .payload = nullptr},
      MakeEntry(103, 2, "a command"),
      MakeEntry(104, 2, std::string("\0\x01 \"quoted\" \xff", 12))};
  first.hard_state = {.term = Term(2), .vote = "node-1", .commit = Index(100)};
  harness.Append(std::move(first));
  harness.executor.RunAll();
  harness.Write(105, 2, "replaced later");
  harness.Append({.truncate_from = Index(105),
                  .entries = {MakeEntry(105, 3, "in its place")},
                  .hard_state = HardState{.term = Term(3), .vote = "", .commit = Index(104)}});
  harness.executor.RunAll();
  for (uint64_t i = 106; i <= 112; ++i) harness.Write(i, 3, std::string(400, 'y'));
  harness.Append(
      {.hard_state = HardState{.term = Term(4), .vote = "node-2", .commit = Index(112)}});
  harness.log->CutHead(Index(102));
  harness.executor.RunAll();
  harness.Write(113, 4, "the end");
  harness.log->Close();
}

std::vector<std::string> Names(FileSystem& files, const std::string& directory) {
  absl::StatusOr<std::vector<std::string>> names = files.List(directory);
  EXPECT_TRUE(names.ok()) << names.status();
  return names.ok() ? *std::move(names) : std::vector<std::string>();
}

bool IsLogFile(const std::string& name) {
  return ParseSegmentName(name).has_value() || ParseSpareName(name).has_value();
}

void RecordFixtures() {
  LogHarness harness(2048);
  ASSERT_NO_FATAL_FAILURE(WriteRecordedLog(harness));
  FileSystem& disk = PosixFileSystem();
  ASSERT_TRUE(disk.CreateDirectories(kFixtures).ok());
  for (const std::string& name : Names(disk, kFixtures)) {
    ASSERT_TRUE(disk.Remove(kFixtures + "/" + name).ok());
  }
  for (const std::string& name : Names(harness.files, std::string(kDirectory))) {
    if (!IsLogFile(name)) continue;
    const std::string bytes = harness.files.Contents(fmt::format("{}/{}", kDirectory, name));
    ASSERT_TRUE(disk.WriteFileAtomically(kFixtures + "/" + name, bytes).ok());
  }
  ASSERT_TRUE(disk.WriteFileAtomically(kFixtures + "/dump.txt", Dump(harness.files)).ok());
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_TRUE(disk.WriteFileAtomically(kFixtures + "/found.txt", Found(harness)).ok());
}

TEST(LogFixtures, Version1IsReadAsItWasWritten) {
  if (std::getenv("MOKV_RECORD") != nullptr) {
    ASSERT_NO_FATAL_FAILURE(RecordFixtures());
  }
  FileSystem& disk = PosixFileSystem();
  LogHarness harness(2048);
  ASSERT_TRUE(harness.files.CreateDirectories(std::string(kDirectory)).ok());
  for (const std::string& name : Names(disk, kFixtures)) {
    if (!IsLogFile(name)) continue;
    const std::string bytes = disk.ReadFile(kFixtures + "/" + name).value();
    const std::string path = fmt::format("{}/{}", kDirectory, name);
    ASSERT_TRUE(harness.files.WriteFileAtomically(path, bytes).ok());
  }
  EXPECT_EQ(Dump(harness.files), disk.ReadFile(kFixtures + "/dump.txt").value());
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(Found(harness), disk.ReadFile(kFixtures + "/found.txt").value());
  EXPECT_EQ(harness.log->recovery().cut_bytes, 0u);
}

// And this version still writes what it wrote.
TEST(LogFixtures, Version1IsWrittenAsItWas) {
  FileSystem& disk = PosixFileSystem();
  LogHarness harness(2048);
  ASSERT_NO_FATAL_FAILURE(WriteRecordedLog(harness));
  EXPECT_EQ(Dump(harness.files), disk.ReadFile(kFixtures + "/dump.txt").value());
  for (const std::string& name : Names(disk, kFixtures)) {
    if (!ParseSegmentName(name).has_value()) continue;
    EXPECT_EQ(harness.files.Contents(fmt::format("{}/{}", kDirectory, name)),
              disk.ReadFile(kFixtures + "/" + name).value())
        << name;
  }
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
