// Logs that some version of the format has written: they are read, and go on.
//
// testdata/vN/NAME holds the files of a log as version N wrote them, what the dump says of them
// (dump.txt) and what a start finds in them (found.txt). The log's files stay as they are: later
// versions prove with them that they still read version N. Only while a version is not released yet
// may its files be recorded anew, from RecordedLogs():
//   MOKV_RECORD=1 wal_test --gtest_filter='*LogFixtures*'
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/logging.h"
#include "base/status.h"
#include "wal/dump.h"
#include "wal/log_harness.h"

namespace mokv::wal {
namespace {

constexpr std::string_view kDirectory = "/data/log";
constexpr uint64_t kSegmentBytes = 2048;

std::string Dump(FileSystem& files) {
  std::string text;
  const auto result = DumpLog(files, std::string(kDirectory), [&](std::string_view line) {
    text += line;
    text += '\n';
  });
  EXPECT_TRUE(result.ok()) << result.status();
  return text;
}

std::string Found(LogHarness& harness) {
  const FoundLog& found = harness.log->found();
  std::string text = fmt::format(
      "hard state term {} vote {} commit {}\nentries {} to {}, last term {}, before the first {}\n",
      found.hard_state.term, found.hard_state.vote, found.hard_state.commit, found.first_index,
      found.last_index, found.last_term, harness.log->TermAt(found.first_index - 1).value());
  for (const std::string& entry : harness.EntryTexts()) text += entry + "\n";
  return text;
}

// A log with every kind of record, over several segments, some of them in files used before.
void WriteEveryKind(LogHarness& harness) {
  ASSERT_TRUE(harness.Open().ok());
  harness.executor.RunAll();
  for (uint64_t i = 1; i <= 13; ++i) harness.Write(i, 1, std::string(400, 'x'));
  harness.CutHead(12);
  harness.executor.RunAll();
  harness.ResetTo(100, 2);
  harness.executor.RunAll();
  AppendRequest first;
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
  harness.CutHead(102);
  harness.executor.RunAll();
  harness.Write(113, 4, "the end");
  harness.log->Close();
}

// Its last batch has not reached the disk as a whole.
void WriteTornTail(LogHarness& harness) {
  ASSERT_TRUE(harness.Open().ok());
  harness.executor.RunAll();
  harness.Append({.hard_state = HardState{.term = Term(5), .vote = "node-3", .commit = Index(0)}});
  for (uint64_t i = 1; i <= 3; ++i) harness.Write(i, 5, fmt::format("kept {}", i));
  harness.Write(4, 5, std::string(600, 't'));
  harness.Kill();
  const std::string path = harness.PathOf(1);
  const size_t torn = harness.files.Contents(path).find(std::string(500, 't'));
  ASSERT_NE(torn, std::string::npos);
  harness.files.Damage(path, torn, std::string(700, '\0'));
}

// A leader of a later term has replaced entries of several segments; then the process was killed.
void WriteTruncation(LogHarness& harness) {
  ASSERT_TRUE(harness.Open().ok());
  harness.executor.RunAll();
  for (uint64_t i = 1; i <= 6; ++i) harness.Write(i, 1, std::string(700, 'o'));
  harness.Append({.truncate_from = Index(3),
                  .entries = {MakeEntry(3, 2, "three"), MakeEntry(4, 2, "four")},
                  .hard_state = HardState{.term = Term(2), .vote = "", .commit = Index(2)}});
  harness.executor.RunAll();
  harness.Append({.truncate_from = Index(4)});
  harness.executor.RunAll();
  harness.Kill();
}

// Snapshots have taken the place of its first entries, and files are used again.
void WriteCutHead(LogHarness& harness) {
  ASSERT_TRUE(harness.Open().ok());
  harness.executor.RunAll();
  for (uint64_t i = 1; i <= 9; ++i) harness.Write(i, 3, std::string(600, 'h'));
  harness.Append({.hard_state = HardState{.term = Term(3), .vote = "node-1", .commit = Index(9)}});
  harness.CutHead(7);
  harness.executor.RunAll();
  for (uint64_t i = 10; i <= 12; ++i) harness.Write(i, 3, std::string(500, 'i'));
  harness.CutHead(8);
  harness.executor.RunAll();
  harness.Kill();
}

struct RecordedLog {
  std::string name;
  void (*write)(LogHarness&);
  bool torn = false;
};

std::vector<RecordedLog> RecordedLogs() {
  return {{"clean-stop", WriteEveryKind},
          {"torn-tail", WriteTornTail, true},
          {"truncation", WriteTruncation},
          {"cut-head", WriteCutHead}};
}

std::vector<std::string> Names(FileSystem& files, const std::string& directory) {
  absl::StatusOr<std::vector<std::string>> names = files.List(directory);
  EXPECT_TRUE(names.ok()) << names.status();
  return names.ok() ? *std::move(names) : std::vector<std::string>();
}

bool IsLogFile(const std::string& name) {
  return ParseSegmentName(name).has_value() || ParseSpareName(name).has_value();
}

// The format versions of the segments that have been written to.
std::map<std::string, uint32_t> VersionsOfUsed(CrashFileSystem& files) {
  std::map<std::string, uint32_t> versions;
  for (const std::string& name : Names(files, std::string(kDirectory))) {
    const std::optional<uint64_t> generation = ParseSegmentName(name);
    if (!generation.has_value()) continue;
    const std::string bytes = files.Contents(fmt::format("{}/{}", kDirectory, name));
    const absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(bytes, name);
    EXPECT_TRUE(header.ok()) << header.status();
    const std::string_view first = std::string_view(bytes).substr(kSegmentHeaderBytes);
    if (header.ok() && DecodeBatch(first, {*generation, kSegmentHeaderBytes}).has_value()) {
      versions[name] = header->version;
    }
  }
  return versions;
}

std::string PathOf(uint32_t version, const RecordedLog& log) {
  return fmt::format("{}/v{}/{}", MOKV_WAL_TESTDATA, version, log.name);
}

void Record(const RecordedLog& log) {
  LogHarness harness(kSegmentBytes);
  ASSERT_NO_FATAL_FAILURE(log.write(harness));
  FileSystem& disk = PosixFileSystem();
  const std::string fixture = PathOf(kFormatVersion, log);
  ASSERT_TRUE(disk.CreateDirectories(fixture).ok());
  for (const std::string& name : Names(disk, fixture)) {
    ASSERT_TRUE(disk.Remove(fixture + "/" + name).ok());
  }
  for (const std::string& name : Names(harness.files, std::string(kDirectory))) {
    if (!IsLogFile(name)) continue;
    const std::string bytes = harness.files.Contents(fmt::format("{}/{}", kDirectory, name));
    ASSERT_TRUE(disk.WriteFileAtomically(fixture + "/" + name, bytes).ok());
  }
  ASSERT_TRUE(disk.WriteFileAtomically(fixture + "/dump.txt", Dump(harness.files)).ok());
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_TRUE(disk.WriteFileAtomically(fixture + "/found.txt", Found(harness)).ok());
}

// Each log of each version.
class LogFixtures : public ::testing::TestWithParam<std::tuple<uint32_t, RecordedLog>> {
 protected:
  void SetUp() override {
    SetLogLevel(LogLevel::kError);
    if (std::getenv("MOKV_RECORD") != nullptr && version() == kFormatVersion) Record(log());
  }
  void TearDown() override { SetLogLevel(LogLevel::kInfo); }

  uint32_t version() const { return std::get<0>(GetParam()); }
  const RecordedLog& log() const { return std::get<1>(GetParam()); }
  std::string FixtureText(const std::string& name) const {
    return PosixFileSystem().ReadFile(PathOf(version(), log()) + "/" + name).value();
  }

  void CopyFiles(LogHarness& harness) const {
    ASSERT_TRUE(harness.files.CreateDirectories(std::string(kDirectory)).ok());
    for (const std::string& name : Names(PosixFileSystem(), PathOf(version(), log()))) {
      if (!IsLogFile(name)) continue;
      const std::string path = fmt::format("{}/{}", kDirectory, name);
      ASSERT_TRUE(harness.files.WriteFileAtomically(path, FixtureText(name)).ok());
    }
  }
};

TEST_P(LogFixtures, IsReadAsItWasWritten) {
  LogHarness harness(kSegmentBytes);
  ASSERT_NO_FATAL_FAILURE(CopyFiles(harness));
  EXPECT_EQ(Dump(harness.files), FixtureText("dump.txt"));
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(Found(harness), FixtureText("found.txt"));
  EXPECT_EQ(harness.log->found().cut_bytes > 0, log().torn);
}

// Goal: what an older version wrote is a log to go on with, over several segments and a restart.
//       The segment that it ends in is written to further; what begins from then on is of ours.
TEST_P(LogFixtures, GoesOnAndIsReadAgain) {
  LogHarness harness(kSegmentBytes);
  ASSERT_NO_FATAL_FAILURE(CopyFiles(harness));
  ASSERT_TRUE(harness.Open().ok());
  std::vector<std::string> expected = harness.EntryTexts();
  const uint64_t last = harness.log->last_index().value();
  const HardState hard_state{.term = Term(9), .vote = "", .commit = Index(last)};
  harness.Append({.hard_state = hard_state});
  harness.executor.RunAll();
  const std::map<std::string, uint32_t> old = VersionsOfUsed(harness.files);
  for (const auto& [name, version_of_it] : old) EXPECT_EQ(version_of_it, version()) << name;
  for (uint64_t i = last + 1; i <= last + 8; ++i) {
    harness.Write(i, 9, std::string(600, 'n'));
    expected.push_back(ToString(MakeEntry(i, 9, std::string(600, 'n'))));
  }
  EXPECT_EQ(harness.log->Read(harness.log->first_index(), UINT64_MAX)->size(), expected.size());
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(harness.EntryTexts(), expected);
  EXPECT_EQ(harness.log->found().hard_state, hard_state);
  EXPECT_EQ(harness.log->found().cut_bytes, 0u);
  const std::map<std::string, uint32_t> now = VersionsOfUsed(harness.files);
  EXPECT_GE(now.size(), old.size() + 2);
  for (const auto& [name, version_of_it] : now) {
    EXPECT_EQ(version_of_it, old.contains(name) ? version() : kFormatVersion) << name;
  }
}

// Goal: what an older version had prepared is space for a newer one too, on a disk that is full.
TEST_P(LogFixtures, GoesOnOnAFullDisk) {
  LogHarness harness(kSegmentBytes);
  ASSERT_NO_FATAL_FAILURE(CopyFiles(harness));
  harness.files.SetCapacity(harness.files.used_bytes());
  ASSERT_TRUE(harness.Open().ok());
  harness.executor.RunAll();
  EXPECT_GE(harness.log->stats().segments_ready, 1u);
  const uint64_t segments = harness.log->stats().segments;
  const uint64_t last = harness.log->last_index().value();
  for (uint64_t i = last + 1; i <= last + 3; ++i) harness.Write(i, 9, std::string(600, 'n'));
  EXPECT_GT(harness.log->stats().segments, segments);
  EXPECT_EQ(harness.durable_ticket, harness.last_ticket);
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(harness.log->last_index(), Index(last + 3));
}

// The newest version still writes what it wrote.
TEST_P(LogFixtures, IsWrittenAsItWas) {
  if (version() != kFormatVersion) return;
  LogHarness harness(kSegmentBytes);
  ASSERT_NO_FATAL_FAILURE(log().write(harness));
  EXPECT_EQ(Dump(harness.files), FixtureText("dump.txt"));
  for (const std::string& name : Names(PosixFileSystem(), PathOf(version(), log()))) {
    if (!ParseSegmentName(name).has_value()) continue;
    EXPECT_EQ(harness.files.Contents(fmt::format("{}/{}", kDirectory, name)), FixtureText(name))
        << name;
  }
}

INSTANTIATE_TEST_SUITE_P(EveryVersion, LogFixtures,
                         ::testing::Combine(::testing::Range(1u, kFormatVersion + 1),
                                            ::testing::ValuesIn(RecordedLogs())),
                         [](const auto& instance) {
                           std::string name =
                               fmt::format("Version{}_{}", std::get<0>(instance.param),
                                           std::get<1>(instance.param).name);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace mokv::wal
