#include "wal/log_scan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <functional>
#include <utility>

#include "base/checksum.h"
#include "base/logging.h"
#include "base/status.h"
#include "wal/dump.h"
#include "wal/log_harness.h"

namespace mokv::wal {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using Operation = CrashFileSystem::Operation;

class LogScan : public ::testing::Test {
 protected:
  LogScan() { SetLogLevel(LogLevel::kError); }
  ~LogScan() override { SetLogLevel(LogLevel::kInfo); }

  // Three batches of one entry each, in one segment; their offsets.
  std::vector<uint64_t> WriteThree(LogHarness& harness) {
    EXPECT_TRUE(harness.Open().ok());
    for (uint64_t i = 1; i <= 3; ++i) harness.Write(i, 1, fmt::format("payload {}", i));
    harness.Kill();
    std::vector<uint64_t> offsets = BatchesOf(harness.files.Contents(harness.PathOf(1)), 1);
    // Without the start, and the end.
    return {offsets.begin() + 1, offsets.end() - 1};
  }

  // Where the batches of a segment begin, and where the last one ends.
  static std::vector<uint64_t> BatchesOf(std::string_view contents, uint64_t generation) {
    std::vector<uint64_t> offsets = {kSegmentHeaderBytes};
    while (const auto batch =
               DecodeBatch(contents.substr(offsets.back()), {generation, offsets.back()})) {
      offsets.push_back(batch->end_offset);
    }
    return offsets;
  }

  // After a change of a batch: its checksum becomes right again.
  static void MendBatch(std::string& batch, uint64_t generation) {
    const uint64_t checksum = Checksum64(std::string_view(batch).substr(8), generation);
    std::memcpy(batch.data(), &checksum, sizeof(checksum));
  }

  static std::string MessageOfOpen(LogHarness& harness, absl::StatusCode code) {
    const absl::Status status = harness.Open();
    EXPECT_EQ(status.code(), code) << status;
    return std::string(MessageOf(status));
  }
};

TEST_F(LogScan, CutsATornLastBatchAndGoesOn) {
  LogHarness harness;
  const std::vector<uint64_t> offsets = WriteThree(harness);
  harness.files.Damage(harness.PathOf(1), offsets[2] + 50, "?");
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(2));
  EXPECT_GT(harness.log->found().cut_bytes, 0u);
  EXPECT_EQ(harness.log->stats().cut_bytes, harness.log->found().cut_bytes);
  // What follows takes its place.
  harness.Write(3, 2, "another third");
  EXPECT_EQ(harness.log->stats().segments, 1u);
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(harness.EntryTexts().back(), "3/2 type 2 another third");
  EXPECT_EQ(harness.log->found().cut_bytes, 0u);
}

// Goal: who applies entries while they are found must not apply one that a later batch replaces,
//       although the commit index on disk grows past its place.
TEST_F(LogScan, TellsWhatIsCommittedOnlyWhenNothingReplacesIt) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  harness.Append({.entries = {MakeEntry(1, 1, "a"), MakeEntry(2, 1, "old"), MakeEntry(3, 1, "old")},
                  .hard_state = HardState{Term(1), "n", Index(1)}});
  harness.executor.RunAll();
  // One batch: the truncation, what takes the place, and that it is committed.
  harness.Append({.truncate_from = Index(2),
                  .entries = {MakeEntry(2, 2, "new"), MakeEntry(3, 2, "new")},
                  .hard_state = HardState{Term(2), "", Index(3)}});
  harness.Append({.entries = {MakeEntry(4, 2, "tail")}});
  harness.executor.RunAll();
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(harness.committed, Index(3));
  EXPECT_EQ(harness.EntryTexts().back(), "4/2 type 2 tail");
}

TEST_F(LogScan, CountsATornBatchOnce) {
  LogHarness harness;
  const std::vector<uint64_t> offsets = WriteThree(harness);
  harness.files.Damage(harness.PathOf(1), offsets[2] + 50, "?");
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_GT(harness.log->found().cut_bytes, 0u);
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(harness.log->found().cut_bytes, 0u);
}

// Goal: who only looks finds what a start would find, and the next start finds the same.
TEST_F(LogScan, LookingChangesNothing) {
  LogHarness harness;
  const std::vector<uint64_t> offsets = WriteThree(harness);
  harness.files.Damage(harness.PathOf(1), offsets[2] + 50, "?");
  const uint64_t operations = harness.files.operation_count();
  std::vector<std::string> entries;
  Log::OnEntry on_entry = [&](const EntryView& view) {
    entries.push_back(fmt::format("{} {}", view.index, view.payload));
    return absl::OkStatus();
  };
  Log::OnCommitted on_committed;
  const auto read = ReadLog(harness.files, harness.options.directory, on_entry, on_committed);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(harness.files.operation_count(), operations);
  EXPECT_THAT(entries, ::testing::ElementsAre("1 payload 1", "2 payload 2"));
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(read->last_index, harness.log->found().last_index);
  EXPECT_EQ(read->cut_bytes, harness.log->found().cut_bytes);
  EXPECT_GT(read->cut_bytes, 0u);
}

TEST_F(LogScan, LookingRefusesWhatAStartRefuses) {
  LogHarness harness;
  const std::vector<uint64_t> offsets = WriteThree(harness);
  harness.files.Damage(harness.PathOf(1), offsets[1] + 50, "?");
  Log::OnEntry on_entry = [](const EntryView&) { return absl::OkStatus(); };
  Log::OnCommitted on_committed;
  const auto read = ReadLog(harness.files, harness.options.directory, on_entry, on_committed);
  EXPECT_EQ(read.status(), harness.Open());
}

TEST_F(LogScan, DamageBelowTheDurableMarkIsDataLoss) {
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
TEST_F(LogScan, EveryDamagedByteIsRefusedOrInTheLastBatch) {
  constexpr uint64_t kEntries = 9;
  LogHarness original(2048);
  ASSERT_TRUE(original.Open().ok());
  for (uint64_t i = 1; i <= kEntries; ++i) original.Write(i, 1, std::string(i * 97, 'x'));
  const uint64_t segments = original.log->stats().segments;
  ASSERT_GE(segments, 3u);
  original.Kill();
  uint64_t refused = 0;
  uint64_t cut = 0;
  for (uint64_t generation = 1; generation <= segments; ++generation) {
    const std::string path = original.PathOf(generation);
    const std::string contents = original.files.Contents(path);
    const std::vector<uint64_t> batches = BatchesOf(contents, generation);
    const uint64_t end = batches.back();
    const uint64_t checked = std::min(end + 100, contents.size());
    for (uint64_t offset = 0; offset < checked; offset += offset < 600 ? 1 : 3) {
      SCOPED_TRACE(fmt::format("segment {} offset {}", generation, offset));
      const std::unique_ptr<CrashFileSystem> files = original.files.Clone();
      LogHarness harness;
      harness.file_system = files.get();
      harness.options = original.options;
      files->FlipBit(path, offset * 8 + offset % 8);
      const absl::Status status = harness.Open();
      if (offset >= end) {
        // Behind the end nothing was ever acknowledged.
        ASSERT_TRUE(status.ok()) << status;
        ASSERT_THAT(harness.entries, SizeIs(kEntries));
      } else if (status.ok()) {
        // The last batch is not told from a torn one.
        ASSERT_EQ(generation, segments);
        ASSERT_GE(offset, batches[batches.size() - 2]);
        ASSERT_THAT(harness.entries, SizeIs(kEntries - 1));
        ASSERT_GT(harness.log->found().cut_bytes, 0u);
        ++cut;
      } else {
        ASSERT_THAT(std::string(MessageOf(status)), HasSubstr(path));
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 1000u);
  EXPECT_GT(cut, 100u);
}

// Goal:   damage in two places is cut off only if nothing that verifies proves that what is cut off was
//         durable, in whichever segment it is.
// Method: a log of several segments; damage each two of its batches. What follows a batch and has an
//         fdatasync of its own proves that the batch was durable.
TEST_F(LogScan, NoTwoDamagedBatchesHideWhatALaterOneProves) {
  constexpr uint64_t kEntries = 7;
  LogHarness original(2048);
  ASSERT_TRUE(original.Open().ok());
  // The last segment has one batch only, behind its start; the one before has two.
  for (uint64_t i = 1; i <= kEntries; ++i) original.Write(i, 1, std::string(700, 'x'));
  const uint64_t segments = original.log->stats().segments;
  ASSERT_EQ(segments, 4u);
  original.Kill();
  struct Place {
    uint64_t generation;
    uint64_t offset;
    uint64_t sync;  // The number of the fdatasync: as that of the entry.
  };
  std::vector<Place> places;
  uint64_t syncs = 0;
  for (uint64_t generation = 1; generation <= segments; ++generation) {
    std::vector<uint64_t> batches =
        BatchesOf(original.files.Contents(original.PathOf(generation)), generation);
    batches.pop_back();
    for (const uint64_t offset : batches) {
      // A segment's start is written with the batch that follows it.
      const bool is_start = offset == kSegmentHeaderBytes;
      places.push_back({generation, offset, is_start ? syncs + 1 : ++syncs});
    }
  }
  ASSERT_EQ(places.back().sync, kEntries);
  uint64_t refused = 0;
  uint64_t cut = 0;
  for (size_t a = 0; a < places.size(); ++a) {
    for (size_t b = a + 1; b < places.size(); ++b) {
      // The checksum, the length, and the first record.
      for (const uint64_t byte : {0, 8, 50, 58, 59}) {
        SCOPED_TRACE(fmt::format("batches {} and {}, byte {}", a, b, byte));
        const std::unique_ptr<CrashFileSystem> files = original.files.Clone();
        LogHarness harness;
        harness.file_system = files.get();
        harness.options = original.options;
        for (const size_t damaged : {a, b}) {
          files->FlipBit(original.PathOf(places[damaged].generation),
                         (places[damaged].offset + byte) * 8 + damaged % 8);
        }
        // The last sync of which a batch verifies proves all before it.
        uint64_t proved = 0;
        for (size_t i = 0; i < places.size(); ++i) {
          if (i != a && i != b) proved = places[i].sync - 1;
        }
        const absl::Status status = harness.Open();
        if (!status.ok()) {
          ASSERT_TRUE(absl::IsDataLoss(status)) << status;
          ++refused;
          continue;
        }
        ASSERT_GE(harness.log->last_index(), Index(proved));
        ASSERT_GT(harness.log->found().cut_bytes, 0u);
        ++cut;
      }
    }
  }
  EXPECT_GT(refused, 200u);
  EXPECT_GE(cut, 5u);
}

// Goal:   if the last batch began a segment, or cut the head, its damage leaves the log before it.
TEST_F(LogScan, DamagedBatchThatStartsASegmentIsCutAlone) {
  LogHarness harness(2048);
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 3; ++i) harness.Write(i, 1, std::string(700, 'x'));
  ASSERT_EQ(harness.log->stats().segments, 2u);
  harness.Kill();
  harness.files.FlipBit(harness.PathOf(2), (kSegmentHeaderBytes + 70) * 8);
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(2));
  EXPECT_GT(harness.log->found().cut_bytes, 0u);
  harness.Write(3, 2, std::string(700, 'y'));
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(3));
}

TEST_F(LogScan, DamageOfASegmentsStartBelowTheMarkIsDataLoss) {
  LogHarness harness(2048);
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 4; ++i) harness.Write(i, 1, std::string(700, 'x'));
  ASSERT_EQ(harness.log->stats().segments, 2u);
  harness.Kill();
  for (const uint64_t generation : {1, 2}) {
    const uint64_t bit = (kSegmentHeaderBytes + 70) * 8;
    harness.files.FlipBit(harness.PathOf(generation), bit);
    EXPECT_THAT(MessageOfOpen(harness, absl::StatusCode::kDataLoss),
                HasSubstr(harness.PathOf(generation) + ": damaged at offset 64"));
    harness.Kill();
    harness.files.FlipBit(harness.PathOf(generation), bit);
  }
}

// Goal: what follows the damaged start of a segment says how far the segments before were durable.
TEST_F(LogScan, BatchBehindADamagedStartProvesWhatCameBefore) {
  LogHarness harness(2048);
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 5; ++i) harness.Write(i, 1, std::string(700, 'x'));
  ASSERT_EQ(harness.log->stats().segments, 3u);
  harness.Kill();
  const std::vector<uint64_t> third = BatchesOf(harness.files.Contents(harness.PathOf(3)), 3);
  const std::vector<uint64_t> second = BatchesOf(harness.files.Contents(harness.PathOf(2)), 2);
  const uint64_t last = second[second.size() - 2];
  harness.files.FlipBit(harness.PathOf(3), (kSegmentHeaderBytes + 70) * 8);
  // Alone it cannot be told from a torn start: the batch behind it is lost with it.
  {
    const std::unique_ptr<CrashFileSystem> files = harness.files.Clone();
    LogHarness alone;
    alone.file_system = files.get();
    alone.options = harness.options;
    ASSERT_TRUE(alone.Open().ok());
    EXPECT_EQ(alone.log->last_index(), Index(4));
  }
  harness.files.FlipBit(harness.PathOf(2), (last + 60) * 8);
  EXPECT_EQ(MessageOfOpen(harness, absl::StatusCode::kDataLoss),
            fmt::format("{}: damaged at offset {}: the batch at offset {} of {} says that the log "
                        "was durable beyond it",
                        harness.PathOf(2), last, third[1], harness.PathOf(3)));
  harness.Kill();
  harness.files.FlipBit(harness.PathOf(2), (kSegmentHeaderBytes + 70) * 8);
  EXPECT_EQ(MessageOfOpen(harness, absl::StatusCode::kDataLoss),
            fmt::format("{}: damaged at offset 64: the batch at offset {} of {} says that the log "
                        "was durable beyond it",
                        harness.PathOf(2), third[1], harness.PathOf(3)));
  harness.Kill();
  ASSERT_TRUE(harness.files.Remove(harness.PathOf(2)).ok());
  EXPECT_EQ(MessageOfOpen(harness, absl::StatusCode::kDataLoss),
            fmt::format("{} is missing: the batch at offset {} of {} says that it was part of the "
                        "log",
                        harness.PathOf(2), third[1], harness.PathOf(3)));
}

TEST_F(LogScan, NewerFormatVersionIsRefused) {
  LogHarness harness;
  WriteThree(harness);
  harness.files.Damage(harness.PathOf(1), 8, std::string("\x05\0\0\0", 4));
  EXPECT_EQ(MessageOfOpen(harness, absl::StatusCode::kFailedPrecondition),
            fmt::format("{} has log format version 5; this mokv reads up to 2", harness.PathOf(1)));
}

// Several groups are to share a log one day. A mokv that knows one may not lose what is of others.
TEST_F(LogScan, RecordOfAnotherGroupIsRefusedByName) {
  LogHarness harness;
  WriteThree(harness);
  const std::string path = harness.PathOf(1);
  const uint64_t end = BatchesOf(harness.files.Contents(path), 1).back();
  BatchBuilder builder;
  builder.AddHardState({.term = Term(1), .vote = "n", .commit = Index(2)});
  const size_t second = builder.size_bytes();
  builder.AddEntry(MakeEntry(4, 1, "of others"));
  std::string batch(builder.Finish({1, end}, {1, end}));
  batch[second + 2] = '\x05';
  batch[second + 3] = '\x01';
  MendBatch(batch, 1);
  harness.files.Damage(path, end, batch);
  const std::string before = harness.files.Contents(path);
  EXPECT_EQ(MessageOfOpen(harness, absl::StatusCode::kFailedPrecondition),
            fmt::format("{}: record 1 of the batch at offset {} is of Raft group 261; this mokv "
                        "reads group 0 only. Nothing was changed: start the version of mokv that "
                        "wrote it, or a newer one",
                        path, end));
  EXPECT_EQ(harness.files.Contents(path), before);
  std::string dump;
  ASSERT_TRUE(DumpLog(harness.files, "/data/log", [&](std::string_view line) {
                dump += fmt::format("{}\n", line);
              }).ok());
  EXPECT_THAT(dump, HasSubstr("group 261: entry 4 term 1 command 9 bytes \"of others\""));
}

// The first thing that a start looks at is how each segment begins.
TEST_F(LogScan, SegmentThatAnotherGroupBeginsIsRefusedByName) {
  LogHarness harness;
  WriteThree(harness);
  const std::string path = harness.PathOf(1);
  std::string start = harness.files.Contents(path).substr(kSegmentHeaderBytes, 128);
  start[kBatchHeaderBytes + 2] = '\x07';
  MendBatch(start, 1);
  harness.files.Damage(path, kSegmentHeaderBytes, start);
  EXPECT_THAT(MessageOfOpen(harness, absl::StatusCode::kFailedPrecondition),
              HasSubstr(path + ": record 0 of the batch at offset 64 is of Raft group 7"));
}

// Version 1 knew no groups: whatever stands there is none.
TEST_F(LogScan, GroupInASegmentOfVersion1IsDataLoss) {
  LogHarness harness;
  const std::vector<uint64_t> offsets = WriteThree(harness);
  const std::string path = harness.PathOf(1);
  std::string header = harness.files.Contents(path).substr(0, kSegmentHeaderBytes);
  header[8] = '\x01';
  const uint64_t checksum = Checksum64(std::string_view(header).substr(0, 56), 1);
  std::memcpy(&header[56], &checksum, sizeof(checksum));
  harness.files.Damage(path, 0, header);
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(3));
  harness.Kill();
  std::string batch = harness.files.Contents(path).substr(offsets[2], offsets[2] - offsets[1]);
  batch[kBatchHeaderBytes + 2] = '\x01';
  MendBatch(batch, 1);
  harness.files.Damage(path, offsets[2], batch);
  EXPECT_EQ(MessageOfOpen(harness, absl::StatusCode::kDataLoss),
            fmt::format("{}: damaged at offset {}: record 0 of the batch: malformed: its bytes 2 "
                        "and 3 are not zero",
                        path, offsets[2]));
}

// Runs what is posted at once, as if the thread were as fast as can be.
class AtOnce final : public Executor {
 public:
  explicit AtOnce(std::function<void()> after_each = nullptr)
      : after_each_(std::move(after_each)) {}

  void Post(Task task) override {
    tasks_.push_back(std::move(task));
    if (std::exchange(running_, true)) return;
    for (; !tasks_.empty(); tasks_.pop_front()) {
      Task next = std::move(tasks_.front());
      next();
      if (after_each_) after_each_();
    }
    running_ = false;
  }

 private:
  const std::function<void()> after_each_;
  std::deque<Task> tasks_;
  bool running_ = false;
};

// Starts of a log that crashed after a cut of its head, as its files were to go.
class LogScanAfterACut : public LogScan {
 protected:
  LogScanAfterACut() {
    harness_.background = &background_;
    EXPECT_TRUE(harness_.Open().ok());
    for (uint64_t i = 1; i <= 8; ++i) {
      harness_.Write(i, 1, std::string(700, 'x'));
      background_.RunAll();
    }
    EXPECT_EQ(harness_.log->stats().segments, 4u);
    harness_.CutHead(3);
    harness_.executor.RunAll();
    // Begins a segment, which says that the head has been cut. (A vote, since half of a seal without
    // one is a whole one with zeros behind it.)
    harness_.Append({.entries = {MakeEntry(9, 1, std::string(700, 'x'))},
                     .hard_state = HardState{Term(1), "somebody", Index(0)}});
    harness_.executor.RunAll();
    EXPECT_EQ(harness_.log->stats().segments, 4u);
    harness_.Kill();
    background_.DropAll();
  }

  std::vector<std::string> Names() { return *harness_.files.List(harness_.options.directory); }

  LogHarness harness_{2048};
  ManualExecutor background_;
};

// Goal: files that a cut made superfluous go after a start, although nothing more is given to the
//       log; and since other threads may be at work before the start is over, what they are to seal
//       the cut with is there when they first look.
TEST_F(LogScanAfterACut, FilesGoAtOnceAndTheFirstTaskSealsTheCut) {
  std::vector<size_t> batches;
  AtOnce log_thread([&] { batches.push_back(harness_.batches.size()); });
  AtOnce background;
  harness_.log_thread = &log_thread;
  harness_.background = &background;
  ASSERT_THAT(Names(), testing::Contains(SegmentName(1)));
  ASSERT_TRUE(harness_.Open().ok());
  ASSERT_GE(batches.size(), 1u);
  EXPECT_EQ(batches[0], 1u);
  EXPECT_THAT(Names(), testing::Not(testing::Contains(SegmentName(1))));
  EXPECT_THAT(Names(), testing::Contains(SegmentName(2)));
  harness_.log.reset();
}

// Goal:   the batch that seals a cut at a start does not seal another cut that is in it.
// Method: give the second cut before the log thread runs; what the first batch lets go goes at once;
//         then that batch, which is the last one again, is damaged.
TEST_F(LogScanAfterACut, ACutInTheBatchOfTheSealIsNotSealedByIt) {
  ASSERT_TRUE(harness_.Open().ok());
  harness_.CutHead(7);
  harness_.on_durable = [&] {
    background_.RunAll();
    harness_.files.StopAfter(0);
  };
  harness_.executor.RunAll();
  harness_.on_durable = nullptr;
  EXPECT_EQ(harness_.durable_ticket, harness_.last_ticket);
  EXPECT_THAT(Names(), testing::Not(testing::Contains(SegmentName(1))));
  harness_.Kill();
  const std::string tail = harness_.PathOf(5);
  const std::vector<uint64_t> batches = BatchesOf(harness_.files.Contents(tail), 5);
  harness_.files.FlipBit(tail, (batches[batches.size() - 2] + 60) * 8);
  ASSERT_TRUE(harness_.Open().ok());
  EXPECT_EQ(harness_.log->first_index(), Index(4));
  EXPECT_THAT(harness_.entries, SizeIs(6));
}

// The directory itself may be new.
TEST_F(LogScan, MakesItsDirectoryLast) {
  LogHarness harness;
  std::vector<std::string> synced;
  harness.files.SetFault([&](Operation operation, const std::string& path) {
    if (operation == Operation::kSyncDirectory) synced.push_back(path);
    return absl::OkStatus();
  });
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(synced, testing::Contains("/data"));
  EXPECT_THAT(synced, testing::Contains("/data/log"));
}

// No generation would be left for a segment behind it.
TEST_F(LogScan, FilesOfTheLastGenerationAreNoneOfOurs) {
  LogHarness harness;
  WriteThree(harness);
  const std::string directory = harness.options.directory;
  ASSERT_TRUE(harness.files.WriteFileAtomically(directory + "/" + SpareName(UINT64_MAX), "?").ok());
  // So many that all spare files are used.
  harness.options.ready_segments = 5;
  ASSERT_TRUE(harness.Open().ok());
  harness.executor.RunAll();
  EXPECT_EQ(*harness.files.ReadFile(directory + "/" + SpareName(UINT64_MAX)), "?");
  harness.Kill();
  ASSERT_TRUE(harness.files.WriteFileAtomically(harness.PathOf(UINT64_MAX), "?").ok());
  EXPECT_EQ(MessageOfOpen(harness, absl::StatusCode::kDataLoss),
            "/data/log: log-ffffffffffffffff.seg is no segment");
}

// Also one that is not used yet, since what a newer version does with it is not known.
TEST_F(LogScan, ReadySegmentOfANewerFormatVersionIsRefused) {
  LogHarness harness;
  WriteThree(harness);
  harness.files.Damage(harness.PathOf(3), 8, std::string("\x05\0\0\0", 4));
  EXPECT_EQ(MessageOfOpen(harness, absl::StatusCode::kFailedPrecondition),
            fmt::format("{} has log format version 5; this mokv reads up to 2", harness.PathOf(3)));
}

// Files that are opened for writing read badly: each read has one wrong bit.
class BadReads final : public FileSystem {
 public:
  explicit BadReads(FileSystem& files) : files_(files) {}

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    MOKV_ASSIGN_OR_RETURN(std::unique_ptr<File> file, files_.Open(path, mode));
    if (mode == OpenMode::kRead) return file;
    return std::make_unique<BadFile>(std::move(file));
  }
  absl::StatusOr<std::vector<std::string>> List(const std::string& directory) override {
    return files_.List(directory);
  }
  absl::Status CreateDirectories(const std::string& directory) override {
    return files_.CreateDirectories(directory);
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    return files_.Rename(from, to);
  }
  absl::Status Remove(const std::string& path) override { return files_.Remove(path); }
  absl::Status SyncDirectory(const std::string& directory) override {
    return files_.SyncDirectory(directory);
  }
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    return files_.Lock(path);
  }

 private:
  class BadFile final : public File {
   public:
    explicit BadFile(std::unique_ptr<File> file) : file_(std::move(file)) {}
    absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
      return file_->WriteAt(offset, bytes);
    }
    absl::StatusOr<uint64_t> ReadInto(uint64_t offset, std::span<char> buffer) const override {
      MOKV_ASSIGN_OR_RETURN(const uint64_t got, file_->ReadInto(offset, buffer));
      if (got > 0) buffer[got / 2] = static_cast<char>(buffer[got / 2] ^ 4);
      return got;
    }
    absl::Status Sync() override { return file_->Sync(); }
    absl::StatusOr<uint64_t> Size() const override { return file_->Size(); }
    absl::Status Truncate(uint64_t size_bytes) override { return file_->Truncate(size_bytes); }
    absl::Status Preallocate(uint64_t size_bytes) override {
      return file_->Preallocate(size_bytes);
    }

   private:
    const std::unique_ptr<File> file_;
  };

  FileSystem& files_;
};

// Goal: what a start writes again, since it may not be on the disk yet, is what it has verified.
TEST_F(LogScan, WritesNothingAgainThatItReadBadly) {
  LogHarness harness;
  const std::vector<uint64_t> offsets = WriteThree(harness);
  const std::string before = harness.files.Contents(harness.PathOf(1));
  BadReads bad(harness.files);
  harness.file_system = &bad;
  EXPECT_EQ(MessageOfOpen(harness, absl::StatusCode::kDataLoss),
            fmt::format("{}: damaged at offset {}: a batch that verified does not any more",
                        harness.PathOf(1), offsets[2]));
  EXPECT_EQ(harness.files.Contents(harness.PathOf(1)), before);
  harness.file_system = &harness.files;
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(3));
}

// (Of the newest segments nothing is left that could tell of them.)
TEST_F(LogScan, MissingSegmentIsNamed) {
  for (const uint64_t missing : {1, 2}) {
    LogHarness harness(2048);
    ASSERT_TRUE(harness.Open().ok());
    for (uint64_t i = 1; i <= 6; ++i) harness.Write(i, 1, std::string(700, 'x'));
    ASSERT_GE(harness.log->stats().segments, 3u);
    harness.Kill();
    ASSERT_TRUE(harness.files.Remove(harness.PathOf(missing)).ok());
    EXPECT_THAT(MessageOfOpen(harness, absl::StatusCode::kDataLoss),
                HasSubstr(harness.PathOf(missing) + " is missing"));
  }
}

TEST_F(LogScan, SegmentsBelowTheHeadMayBeMissingInAnyOrder) {
  for (const uint64_t missing : {1, 2, 3}) {
    LogHarness harness(2048);
    ASSERT_TRUE(harness.Open().ok());
    for (uint64_t i = 1; i <= 8; ++i) harness.Write(i, 1, std::string(700, 'x'));
    ASSERT_EQ(harness.log->stats().segments, 4u);
    harness.CutHead(7);
    // The cut is durable; of the files none has gone yet.
    ASSERT_TRUE(harness.executor.RunOne());
    harness.Kill();
    ASSERT_TRUE(harness.files.Remove(harness.PathOf(missing)).ok());
    ASSERT_TRUE(harness.Open().ok()) << missing;
    EXPECT_EQ(harness.log->first_index(), Index(8));
    EXPECT_EQ(harness.log->last_index(), Index(8));
  }
}

TEST_F(LogScan, SegmentsThatWereNeverUsedCanHoldAnything) {
  LogHarness harness;
  WriteThree(harness);
  for (const std::string& contents : {std::string(), std::string(4096, '\0'),
                                      std::string("mokvlog\0\1", 9), std::string(64, '?')}) {
    const auto file = harness.files.Open(harness.PathOf(99), FileSystem::OpenMode::kCreateNew);
    ASSERT_TRUE((*file)->WriteAt(0, contents).ok());
    ASSERT_TRUE(harness.Open().ok());
    EXPECT_THAT(harness.entries, SizeIs(3));
    EXPECT_EQ(harness.log->found().segments, 1u);
    harness.executor.RunAll();
    EXPECT_TRUE(absl::IsNotFound(harness.files.ReadFile(harness.PathOf(99)).status()));
    harness.Kill();
  }
}

TEST_F(LogScan, BrokenHeaderBeforeBatchesIsDataLoss) {
  LogHarness harness;
  WriteThree(harness);
  harness.files.Damage(harness.PathOf(1), 0, std::string(kSegmentHeaderBytes, '\0'));
  EXPECT_THAT(MessageOfOpen(harness, absl::StatusCode::kDataLoss),
              HasSubstr(harness.PathOf(1) + ": damaged at offset 0"));
}

TEST_F(LogScan, SegmentUnderAnotherNameIsRefused) {
  LogHarness harness;
  WriteThree(harness);
  ASSERT_TRUE(harness.files.Rename(harness.PathOf(1), harness.PathOf(9)).ok());
  EXPECT_THAT(MessageOfOpen(harness, absl::StatusCode::kDataLoss),
              HasSubstr("its header says generation 0000000000000001"));
}

// A batch that verifies and yet contradicts those before it: a bug or a forgery, never taken.
TEST_F(LogScan, ContradictionsAreDataLoss) {
  struct Case {
    std::function<void(BatchBuilder&)> add;
    std::string_view message;
  };
  const std::vector<Case> cases = {
      {[](BatchBuilder& b) { b.AddEntry(MakeEntry(5, 1, "gap")); }, "entry 5 follows entry 3"},
      {[](BatchBuilder& b) { b.AddEntry(MakeEntry(4, 0, "old")); },
       "entry 4 of term 0 follows one of term 1"},
      {[](BatchBuilder& b) {
         b.AddEntry(MakeEntry(4, 1, "late"));
         b.AddTruncation(Index(4));
       },
       "a truncation behind entries"},
      {[](BatchBuilder& b) { b.AddStart({}); }, "a segment's start is its first record"},
      {[](BatchBuilder& b) {
         b.AddHead({Index(4), Term(1)});
       },
       "head cut up to 4 of a log that ends"},
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
    const uint64_t end = BatchesOf(contents, 1).back();
    BatchBuilder builder;
    c.add(builder);
    harness.files.Damage(harness.PathOf(1), end, builder.Finish({1, end}, {1, end}));
    EXPECT_THAT(MessageOfOpen(harness, absl::StatusCode::kDataLoss),
                testing::AllOf(HasSubstr(harness.PathOf(1)), HasSubstr(fmt::format("{}", end)),
                               HasSubstr(std::string(c.message))));
  }
}

TEST_F(LogScan, OtherFilesAreLeftAlone) {
  LogHarness harness;
  WriteThree(harness);
  ASSERT_TRUE(harness.files.WriteFileAtomically("/data/log/notes.txt", "hello").ok());
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(*harness.files.ReadFile("/data/log/notes.txt"), "hello");
}

// A copy of a real batch inside a value is neither replayed nor taken for proof of durability.
TEST_F(LogScan, BatchInsideAValueIsOnlyAValue) {
  LogHarness harness;
  const std::vector<uint64_t> offsets = WriteThree(harness);
  const std::string contents = harness.files.Contents(harness.PathOf(1));
  const std::string copy = contents.substr(offsets[2], 200);
  ASSERT_TRUE(harness.Open().ok());
  harness.Write(4, 1, copy + copy);
  harness.Kill();
  // Damage the batch that holds the copies.
  harness.files.Damage(harness.PathOf(1), BatchesOf(contents, 1).back(), "?");
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(3));
}

}  // namespace
}  // namespace mokv::wal
