#include "wal/recovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "base/logging.h"
#include "base/status.h"
#include "wal/log_harness.h"

namespace mokv::wal {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using Operation = CrashFileSystem::Operation;

class LogRecovery : public ::testing::Test {
 protected:
  LogRecovery() { SetLogLevel(LogLevel::kError); }
  ~LogRecovery() override { SetLogLevel(LogLevel::kInfo); }

  // Three batches of one entry each, in one segment; their offsets.
  std::vector<uint64_t> WriteThree(LogHarness& harness) {
    EXPECT_TRUE(harness.Open().ok());
    std::vector<uint64_t> offsets;
    uint64_t offset = kSegmentHeaderBytes;
    for (uint64_t i = 1; i <= 3; ++i) {
      offsets.push_back(offset);
      const uint64_t before = harness.log->stats().bytes;
      harness.Write(i, 1, fmt::format("payload {}", i));
      offset += harness.log->stats().bytes - before;
    }
    harness.Kill();
    return offsets;
  }

  // Where the last batch of a segment starts and ends.
  static std::pair<uint64_t, uint64_t> LastBatch(std::string_view contents, uint64_t generation) {
    uint64_t start = kSegmentHeaderBytes;
    uint64_t end = start;
    while (const auto batch = DecodeBatch(contents, end, generation)) {
      start = std::exchange(end, batch->end_offset);
    }
    return {start, end};
  }

  static std::string MessageOfOpen(LogHarness& harness, absl::StatusCode code) {
    const absl::Status status = harness.Open();
    EXPECT_EQ(status.code(), code) << status;
    return std::string(MessageOf(status));
  }
};

TEST_F(LogRecovery, CutsATornLastBatchAndGoesOn) {
  LogHarness harness;
  const std::vector<uint64_t> offsets = WriteThree(harness);
  harness.files.Damage(harness.PathOf(1), offsets[2] + 50, "?");
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(2));
  EXPECT_GT(harness.log->recovery().cut_bytes, 0u);
  EXPECT_EQ(harness.log->stats().cut_bytes, harness.log->recovery().cut_bytes);
  EXPECT_EQ(*harness.files.Open(harness.PathOf(1), FileSystem::OpenMode::kRead).value()->Size(),
            offsets[2]);
  // What follows goes to a new segment, whose header says where the cut one ends.
  harness.Write(3, 2, "another third");
  EXPECT_EQ(harness.log->stats().segments, 2u);
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(harness.EntryTexts().back(), "3/2 type 2 another third");
  EXPECT_EQ(harness.log->recovery().cut_bytes, 0u);
}

TEST_F(LogRecovery, DamageBelowTheDurableMarkIsDataLoss) {
  LogHarness harness;
  const std::vector<uint64_t> offsets = WriteThree(harness);
  harness.files.Damage(harness.PathOf(1), offsets[1] + 50, "?");
  const std::string message = MessageOfOpen(harness, absl::StatusCode::kDataLoss);
  EXPECT_EQ(message, fmt::format("{}: damaged at offset {}: the batch at offset {} says that the "
                                 "log was durable beyond it",
                                 harness.PathOf(1), offsets[1], offsets[2]));
  // Not even a second try drops it.
  EXPECT_EQ(MessageOfOpen(harness, absl::StatusCode::kDataLoss), message);
}

// Goal:   no single damaged byte makes an acknowledged batch disappear silently.
// Method: a log of several segments; change each byte in turn.
TEST_F(LogRecovery, EveryDamagedByteIsRefusedOrInTheLastBatch) {
  constexpr uint64_t kEntries = 7;
  LogHarness original(400);
  ASSERT_TRUE(original.Open().ok());
  for (uint64_t i = 1; i <= kEntries; ++i) {
    original.Write(i, 1, std::string(i * 7, 'x'));
  }
  const uint64_t segments = original.log->stats().segments;
  ASSERT_GE(segments, 3u);
  original.Kill();
  uint64_t refused = 0;
  for (uint64_t generation = 1; generation <= segments; ++generation) {
    const std::string contents = original.files.Contents(original.PathOf(generation));
    const auto [last_batch, end] = LastBatch(contents, generation);
    const bool last = generation == segments;
    for (uint64_t offset = 0; offset < contents.size(); ++offset) {
      SCOPED_TRACE(fmt::format("segment {} offset {}", generation, offset));
      const std::string byte(1, static_cast<char>(contents[offset] ^ 0x10));
      original.files.Damage(original.PathOf(generation), offset, byte);
      const absl::Status status = original.Open();
      if (offset >= end) {
        // Behind the end nothing was ever acknowledged.
        ASSERT_TRUE(status.ok()) << status;
        ASSERT_THAT(original.entries, SizeIs(kEntries));
      } else if (last && offset >= last_batch) {
        ASSERT_TRUE(status.ok()) << status;
        ASSERT_THAT(original.entries, SizeIs(kEntries - 1));
      } else {
        ASSERT_FALSE(status.ok());
        ASSERT_THAT(std::string(MessageOf(status)), HasSubstr(original.PathOf(generation)));
        ++refused;
      }
      original.Kill();
      // Recovery may have cut the file: put all of it back.
      const auto file =
          original.files.Open(original.PathOf(generation), FileSystem::OpenMode::kReadWrite);
      ASSERT_TRUE((*file)->WriteAt(0, contents).ok());
      ASSERT_TRUE((*file)->Sync().ok());
    }
  }
  EXPECT_GT(refused, 500u);
}

TEST_F(LogRecovery, NewerFormatVersionIsRefused) {
  LogHarness harness;
  WriteThree(harness);
  harness.files.Damage(harness.PathOf(1), 8, std::string("\x05\0\0\0", 4));
  EXPECT_EQ(MessageOfOpen(harness, absl::StatusCode::kFailedPrecondition),
            fmt::format("{} has log format version 5; this mokv reads up to 1", harness.PathOf(1)));
}

TEST_F(LogRecovery, MissingSegmentIsNamed) {
  for (const uint64_t missing : {1, 2}) {
    LogHarness harness(256);
    ASSERT_TRUE(harness.Open().ok());
    for (uint64_t i = 1; i <= 4; ++i) harness.Write(i, 1, std::string(100, 'x'));
    ASSERT_GE(harness.log->stats().segments, 3u);
    harness.Kill();
    ASSERT_TRUE(harness.files.Remove(harness.PathOf(missing)).ok());
    EXPECT_THAT(MessageOfOpen(harness, absl::StatusCode::kDataLoss),
                HasSubstr(harness.PathOf(missing) + " is missing"));
  }
}

TEST_F(LogRecovery, RemovesASegmentWhoseCreationWasInterrupted) {
  LogHarness harness;
  WriteThree(harness);
  for (const std::string& contents : {std::string(), std::string(4096, '\0'),
                                      std::string("mokvlog\0\1", 9), std::string(64, '?')}) {
    const auto file = harness.files.Open(harness.PathOf(2), FileSystem::OpenMode::kCreateNew);
    ASSERT_TRUE((*file)->WriteAt(0, contents).ok());
    ASSERT_TRUE(harness.Open().ok());
    EXPECT_THAT(harness.entries, SizeIs(3));
    EXPECT_EQ(harness.log->recovery().segments, 1u);
    EXPECT_TRUE(absl::IsNotFound(harness.files.ReadFile(harness.PathOf(2)).status()));
    harness.Kill();
  }
}

TEST_F(LogRecovery, BrokenHeaderBeforeBatchesIsDataLoss) {
  LogHarness harness;
  WriteThree(harness);
  harness.files.Damage(harness.PathOf(1), 0, std::string(kSegmentHeaderBytes, '\0'));
  EXPECT_THAT(MessageOfOpen(harness, absl::StatusCode::kDataLoss),
              HasSubstr(harness.PathOf(1) + ": damaged at offset 0"));
}

TEST_F(LogRecovery, SegmentUnderAnotherNameIsRefused) {
  LogHarness harness;
  WriteThree(harness);
  ASSERT_TRUE(harness.files.Rename(harness.PathOf(1), harness.PathOf(2)).ok());
  EXPECT_THAT(MessageOfOpen(harness, absl::StatusCode::kDataLoss),
              HasSubstr("its header says generation 0000000000000001"));
}

// A batch that verifies and yet contradicts those before it: a bug or a forgery, never taken.
TEST_F(LogRecovery, ContradictionsAreDataLoss) {
  struct Case {
    std::function<void(BatchBuilder&)> add;
    std::string_view message;
  };
  const std::vector<Case> cases = {
      {[](BatchBuilder& b) { b.AddEntry(MakeEntry(5, 1, "gap")); }, "entry 5 follows entry 3"},
      {[](BatchBuilder& b) { b.AddEntry(MakeEntry(4, 0, "old")); },
       "entry 4 of term 0 follows one of term 1"},
      {[](BatchBuilder& b) { b.AddTruncation(Index(5)); }, "truncation from 5 of a log of 1 to 3"},
      {[](BatchBuilder& b) { b.AddTruncation(Index(0)); }, "truncation from 0 of a log of 1 to 3"},
      {[](BatchBuilder& b) {
         b.AddHardState({.term = Term(9), .vote = "", .commit = Index(0)});
         b.AddHardState({.term = Term(8), .vote = "", .commit = Index(0)});
       },
       "hard state of term 8 follows one of term 9"},
  };
  for (const Case& c : cases) {
    LogHarness harness;
    WriteThree(harness);
    const std::string contents = harness.files.Contents(harness.PathOf(1));
    const uint64_t end = LastBatch(contents, 1).second;
    BatchBuilder builder;
    c.add(builder);
    harness.files.Damage(harness.PathOf(1), end, builder.Finish({1, end}, {1, end}));
    EXPECT_THAT(MessageOfOpen(harness, absl::StatusCode::kDataLoss),
                testing::AllOf(HasSubstr(harness.PathOf(1)), HasSubstr(fmt::format("{}", end)),
                               HasSubstr(std::string(c.message))));
  }
}

TEST_F(LogRecovery, OtherFilesAreLeftAlone) {
  LogHarness harness;
  WriteThree(harness);
  ASSERT_TRUE(harness.files.WriteFileAtomically("/data/log/notes.txt", "hello").ok());
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(*harness.files.ReadFile("/data/log/notes.txt"), "hello");
}

// A copy of a real batch inside a value is neither replayed nor taken for proof of durability.
TEST_F(LogRecovery, BatchInsideAValueIsOnlyAValue) {
  LogHarness harness;
  const std::vector<uint64_t> offsets = WriteThree(harness);
  const std::string contents = harness.files.Contents(harness.PathOf(1));
  const std::string copy = contents.substr(offsets[2], 200);
  ASSERT_TRUE(harness.Open().ok());
  harness.Write(4, 1, copy + copy);
  harness.Kill();
  // Damage the batch that holds the copies.
  harness.files.Damage(harness.PathOf(1), LastBatch(contents, 1).second, "?");
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(3));
}

}  // namespace
}  // namespace mokv::wal
