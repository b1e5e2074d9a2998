// What the log does on a full disk, and how segments are prepared.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/logging.h"
#include "base/random.h"
#include "base/status.h"
#include "wal/log_harness.h"

namespace mokv::wal {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Operation = CrashFileSystem::Operation;

class LogSpace : public ::testing::Test {
 protected:
  LogSpace() { SetLogLevel(LogLevel::kError); }
  ~LogSpace() override { SetLogLevel(LogLevel::kInfo); }

  static Demand DemandFor(uint64_t payload_bytes) {
    Demand demand;
    demand.Add(payload_bytes);
    return demand;
  }

  // Appends entries of `payload_bytes` while they are admitted, each in a batch of its own.
  static uint64_t Fill(LogHarness& harness, uint64_t payload_bytes) {
    uint64_t appended = 0;
    while (harness.log->Admit(DemandFor(payload_bytes)).ok()) {
      harness.Write(harness.log->last_index().value() + 1, 1, std::string(payload_bytes, 'f'));
      ++appended;
    }
    return appended;
  }

  static void TimePasses(LogHarness& harness) {
    harness.clock.now = harness.clock.now + std::chrono::seconds(1);
    harness.log->Tick();
    harness.executor.RunAll();
  }
};

TEST_F(LogSpace, FullDiskRefusesAndRecoversByItself) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  harness.executor.RunAll();
  harness.files.SetCapacity(harness.files.used_bytes());
  EXPECT_GT(Fill(harness, 100), 20u);
  const absl::Status refused = harness.log->Admit(DemandFor(100));
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_THAT(std::string(MessageOf(refused)), HasSubstr("no space left for the log in /data/log"));
  EXPECT_TRUE(harness.log->stats().out_of_space);
  TimePasses(harness);
  EXPECT_FALSE(harness.log->Admit(DemandFor(100)).ok());
  EXPECT_THAT(harness.failures, IsEmpty());
  EXPECT_EQ(Index(harness.durable.back().first), harness.log->last_index());
  // Votes still find room.
  const Ticket vote = harness.Append({.hard_state = HardState{.term = Term(2), .vote = "n"}});
  harness.executor.RunAll();
  EXPECT_EQ(harness.durable_ticket, vote);

  harness.files.SetCapacity(std::nullopt);
  TimePasses(harness);
  EXPECT_FALSE(harness.log->stats().out_of_space);
  EXPECT_TRUE(harness.log->Admit(DemandFor(100)).ok());
  const uint64_t last = harness.log->last_index().value();
  harness.Write(last + 1, 2, "goes on");
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(last + 1));
}

TEST_F(LogSpace, OpensOnAFullDiskAndVotes) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  harness.executor.RunAll();
  harness.files.SetCapacity(harness.files.used_bytes());
  Fill(harness, 100);
  const Index last = harness.log->last_index();
  // A batch is cut off in the middle, too.
  harness.Append({.hard_state = HardState{.term = Term(2), .vote = "lost"}});
  harness.files.StopAfter(0);
  harness.executor.RunAll();
  harness.Kill();
  for (uint64_t term = 3; term < 6; ++term) {
    ASSERT_TRUE(harness.Open().ok());
    EXPECT_EQ(harness.log->last_index(), last);
    harness.Append({.hard_state = HardState{.term = Term(term), .vote = "n"}});
    harness.executor.RunAll();
    harness.Kill();
  }
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(harness.log->found().hard_state.term, Term(5));
}

// Goal:   segments that were cut off are used again also if the directory had no room for a moment.
// Method: all that is ready and spare is used up; then one of several renames fails.
TEST_F(LogSpace, ForgetsNoSegmentThatItCouldNotMoveAtOnce) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 40; ++i) harness.Write(i, 1, std::string(400, 'x'));
  harness.executor.RunAll();
  harness.files.SetCapacity(harness.files.used_bytes());
  Fill(harness, 400);
  int renames = 0;
  harness.files.SetFault([&](Operation operation, const std::string&) {
    if (operation != Operation::kRename || ++renames != 2) return absl::OkStatus();
    return absl::ResourceExhaustedError("no room for the name");
  });
  harness.CutHead(40);
  harness.executor.RunAll();
  ASSERT_GE(renames, 2);
  TimePasses(harness);
  EXPECT_GT(Fill(harness, 400), 10u);
  EXPECT_THAT(harness.failures, IsEmpty());
}

TEST_F(LogSpace, CuttingTheHeadMakesRoomOnAFullDisk) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 40; ++i) harness.Write(i, 1, std::string(400, 'x'));
  harness.files.SetCapacity(harness.files.used_bytes());
  Fill(harness, 400);
  harness.CutHead(40);
  harness.executor.RunAll();
  EXPECT_GT(Fill(harness, 400), 10u);
  EXPECT_THAT(harness.failures, IsEmpty());
}

// Goal:   what is admitted has its space: it becomes durable though no file may grow any more.
// Method: entries of all sizes, queued in any number before the log thread runs.
TEST_F(LogSpace, WhatIsAdmittedBecomesDurableOnAFullDisk) {
  const uint64_t first_seed = 1;
  for (uint64_t seed = first_seed; seed < first_seed + 300; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    SeededRandom random(seed);
    LogHarness harness(16384 + random.Next() % 50000);
    harness.options.ready_segments = 1 + random.Next() % 3;
    ASSERT_TRUE(harness.Open().ok());
    harness.executor.RunAll();
    harness.files.SetCapacity(harness.files.used_bytes());
    // Half of the logs get entries of one size, which leaves the most unused at the end of
    // segments.
    const uint64_t one_size = random.Next() % 2 == 0 ? harness.options.segment_bytes / 9 : 0;
    bool refused = false;
    // Some get larger ones than a segment has room for, as long as the disk is not full.
    const uint64_t huge_size = random.Next() % 3 == 0 ? harness.options.segment_bytes * 2 : 0;
    uint64_t segments_of_own = random.Next() % 4;
    while (!refused) {
      AppendRequest request;
      Demand demand;
      for (uint64_t n = 1 + random.Next() % (one_size > 0 ? 3 : 20); n > 0; --n) {
        uint64_t size =
            one_size > 0 ? one_size : random.Next() % (random.Next() % 10 == 0 ? 5000 : 100);
        if (huge_size > 0 && random.Next() % 10 == 0) size = random.Next() % huge_size;
        demand.Add(size);
        request.entries.push_back(MakeEntry(harness.log->last_index().value() + demand.entries, 1,
                                            std::string(size, 'x')));
      }
      refused = !harness.log->Admit(demand).ok();
      if (refused && huge_size > 0 && segments_of_own > 0) {
        --segments_of_own;
        harness.files.SetCapacity(std::nullopt);
        harness.executor.RunAll();
        harness.files.SetCapacity(harness.files.used_bytes());
        refused = false;
        continue;
      }
      if (!refused) harness.Append(std::move(request));
      if (random.Next() % 4 == 0) harness.executor.RunAll();
    }
    harness.executor.RunAll();
    if (harness.log->last_index() == Index(0)) continue;
    ASSERT_FALSE(harness.durable.empty());
    ASSERT_EQ(Index(harness.durable.back().first), harness.log->last_index());
    ASSERT_EQ(harness.log->stats().queued_bytes, 0u);
  }
}

// Goal:   an entry that no segment has room for is refused, as long as there is no space for a segment
//         of its own size, and holds up nobody; then one is made for it.
TEST_F(LogSpace, EntryWithoutASegmentOfItsSizeIsRefusedAndHoldsUpNobody) {
  constexpr uint64_t kBytes = 20000;
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  harness.executor.RunAll();
  harness.files.SetCapacity(harness.files.used_bytes() + kBytes / 2);
  for (int tries = 0; tries < 3; ++tries) {
    const absl::Status refused = harness.log->Admit(DemandFor(kBytes));
    EXPECT_TRUE(absl::IsResourceExhausted(refused));
    EXPECT_THAT(std::string(MessageOf(refused)), HasSubstr("room for 20000 bytes"));
    TimePasses(harness);
    // There is space for the others, nothing is left of the try, and all goes on.
    EXPECT_FALSE(harness.log->stats().out_of_space);
    EXPECT_EQ(harness.log->stats().disk_bytes, harness.files.used_bytes());
    ASSERT_TRUE(harness.log->Admit(DemandFor(100)).ok());
    harness.Write(harness.log->last_index().value() + 1, 1, std::string(100, 's'));
    EXPECT_EQ(harness.durable_ticket, harness.last_ticket);
  }
  harness.files.SetCapacity(std::nullopt);
  EXPECT_FALSE(harness.log->Admit(DemandFor(kBytes)).ok());
  harness.executor.RunAll();
  EXPECT_EQ(harness.log->stats().segments_ready, 3u);
  ASSERT_TRUE(harness.log->Admit(DemandFor(kBytes)).ok());
  // From here on its space is there, that of what is admitted behind it, and that of votes.
  harness.files.SetCapacity(harness.files.used_bytes());
  harness.Append({.entries = {MakeEntry(4, 1, std::string(kBytes, 'h'))}});
  ASSERT_TRUE(harness.log->Admit(DemandFor(100)).ok());
  harness.Append({.entries = {MakeEntry(5, 1, std::string(100, 's'))}});
  harness.Append({.hard_state = HardState{.term = Term(2), .vote = "n"}});
  harness.executor.RunAll();
  EXPECT_EQ(harness.durable_ticket, harness.last_ticket);
  // Those that were too small for it are used after it.
  EXPECT_EQ(harness.log->stats().segments_ready, 2u);
  EXPECT_EQ(harness.log->stats().segments_reused, 2u);
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(5));
  EXPECT_EQ(harness.log->found().hard_state.term, Term(2));
}

// An entry of nearly half a segment is refused for what may be lost at the end of each segment; it
// must not be refused for ever.
TEST_F(LogSpace, EntryThatFitsIntoASegmentIsAlwaysAdmittedInTheEnd) {
  for (const uint64_t bytes : {1500, 1900, 2500, 3000}) {
    LogHarness harness;
    ASSERT_TRUE(harness.Open().ok());
    harness.executor.RunAll();
    for (uint64_t i = 1; i <= 20; ++i) {
      bool admitted = harness.log->Admit(DemandFor(bytes)).ok();
      if (!admitted) TimePasses(harness);
      ASSERT_TRUE(admitted || harness.log->Admit(DemandFor(bytes)).ok()) << bytes << " " << i;
      harness.Write(i, 1, std::string(bytes, 'x'));
    }
    EXPECT_EQ(harness.durable.back().first, 20u);
  }
}

// Goal: a generation that may have been written to is not written to again after a restart. A large
//       entry passes segments over, so it need not be that of the first one behind the tail.
TEST_F(LogSpace, SegmentOfALargeEntryGetsANewGenerationAtAStart) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  harness.Write(1, 1, "in the tail, which is generation 1");
  EXPECT_FALSE(harness.log->Admit(DemandFor(8000)).ok());
  harness.executor.RunAll();
  ASSERT_EQ(harness.log->stats().segments_ready, 3u);
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(harness.log->stats().segments_ready, 1u);
  harness.executor.RunAll();
  const std::vector<std::string> names = *harness.files.List(harness.options.directory);
  EXPECT_THAT(names, testing::Contains(SegmentName(3)));
  EXPECT_THAT(names, testing::Not(testing::Contains(SegmentName(2))));
  EXPECT_THAT(names, testing::Not(testing::Contains(SegmentName(4))));
}

// A follower's entry comes without asking. On a full disk it waits, and all behind it, until there is
// space: here, since a segment becomes ready that it fits into.
TEST_F(LogSpace, LargeEntryThatWaitsTakesASegmentThatBecomesReady) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  harness.executor.RunAll();
  const uint64_t used = harness.files.used_bytes();
  harness.files.SetCapacity(used);
  harness.Append({.entries = {MakeEntry(1, 1, std::string(8000, 'h'))}});
  const Ticket vote = harness.Append({.hard_state = HardState{.term = Term(2), .vote = "n"}});
  harness.executor.RunAll();
  EXPECT_LT(harness.durable_ticket, vote);
  EXPECT_TRUE(harness.log->stats().out_of_space);
  // Space comes, and what is prepared takes all of it, also what another entry asks for.
  EXPECT_FALSE(harness.log->Admit(DemandFor(8000)).ok());
  harness.files.SetCapacity(used + 4096 + 17200);
  TimePasses(harness);
  EXPECT_GT(harness.files.used_bytes(), used + 4096 + 17000);
  EXPECT_EQ(harness.durable_ticket, vote);
  EXPECT_FALSE(harness.log->stats().out_of_space);
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(1));
}

// Files that share their blocks with others may need new ones even to be overwritten.
TEST_F(LogSpace, WriteThatFindsNoSpaceAfterAllWaits) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  harness.Write(1, 1, "one");
  bool full = true;
  harness.files.SetFault([&](Operation operation, const std::string& path) -> absl::Status {
    if (operation != Operation::kWrite || !full) return absl::OkStatus();
    return ResourceExhausted("{}: no space", path);
  });
  harness.Write(2, 1, "two");
  harness.Append({.hard_state = HardState{.term = Term(2), .vote = "n"}});
  TimePasses(harness);
  EXPECT_THAT(harness.failures, IsEmpty());
  EXPECT_THAT(harness.durable, SizeIs(1));
  EXPECT_TRUE(absl::IsResourceExhausted(harness.log->Admit(DemandFor(1))));
  full = false;
  TimePasses(harness);
  EXPECT_EQ(harness.durable.back().first, 2u);
  EXPECT_TRUE(harness.log->Admit(DemandFor(1)).ok());
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(2));
  EXPECT_EQ(harness.log->found().hard_state.term, Term(2));
}

// Goal: what waits for space when a log is closed is written if there is space by then.
TEST_F(LogSpace, CloseTriesAgainAfterAFullDisk) {
  for (const uint64_t bytes : {1000, 10000}) {
    LogHarness harness;
    ASSERT_TRUE(harness.Open().ok());
    harness.executor.RunAll();
    harness.files.SetCapacity(harness.files.used_bytes());
    // Without asking, more than there is room for.
    for (uint64_t i = 1; i <= 30; ++i) harness.Write(i, 1, std::string(bytes, 'x'));
    ASSERT_TRUE(harness.log->stats().out_of_space);
    ASSERT_LT(harness.durable_ticket, harness.last_ticket);
    harness.executor.DropAll();  // The threads have stopped.
    harness.files.SetCapacity(std::nullopt);
    harness.log->Close();
    EXPECT_EQ(harness.durable_ticket, harness.last_ticket);
    ASSERT_TRUE(harness.Open().ok());
    EXPECT_THAT(harness.entries, SizeIs(30));
  }
}

TEST_F(LogSpace, CloseOnAFullDiskKeepsWhatHasSpace) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  harness.executor.RunAll();
  harness.files.SetCapacity(harness.files.used_bytes());
  for (uint64_t i = 1; i <= 30; ++i) harness.Write(i, 1, std::string(1000, 'x'));
  const size_t durable = harness.durable.back().first;
  harness.log->Close();
  EXPECT_THAT(harness.failures, IsEmpty());
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(durable));
}

TEST_F(LogSpace, NewLogNeedsSpaceToOpen) {
  LogHarness harness;
  harness.files.SetCapacity(1000);
  EXPECT_TRUE(absl::IsResourceExhausted(harness.Open()));
  // The log is gone: nothing may be left that would look at it.
  EXPECT_EQ(harness.executor.pending(), 0u);
  harness.files.SetCapacity(std::nullopt);
  EXPECT_TRUE(harness.Open().ok());
}

TEST_F(LogSpace, QueueIsBounded) {
  LogHarness harness;
  harness.options.queue_bytes_max = 1000;
  ASSERT_TRUE(harness.Open().ok());
  harness.executor.RunAll();
  harness.Append({.entries = {MakeEntry(1, 1, std::string(500, 'x'))}});
  EXPECT_TRUE(harness.log->Admit(DemandFor(1)).ok());
  harness.Append({.entries = {MakeEntry(2, 1, std::string(500, 'x'))}});
  const absl::Status full = harness.log->Admit(DemandFor(1));
  EXPECT_TRUE(absl::IsResourceExhausted(full));
  EXPECT_THAT(std::string(MessageOf(full)),
              HasSubstr("wait for the log's disk already; limit 1000"));
  harness.executor.RunAll();
  EXPECT_TRUE(harness.log->Admit(DemandFor(1)).ok());
}

TEST_F(LogSpace, SaysHowManyBytesItsFilesHave) {
  LogHarness harness;
  const auto expect_all = [&](uint64_t segments) {
    EXPECT_EQ(harness.log->stats().disk_bytes, harness.files.used_bytes());
    EXPECT_EQ(harness.log->stats().disk_bytes, segments * harness.options.segment_bytes);
    harness.executor.RunAll();
    EXPECT_EQ(harness.log->stats().disk_bytes, harness.files.used_bytes());
  };
  ASSERT_TRUE(harness.Open().ok());
  expect_all(1);
  for (uint64_t i = 1; i <= 40; ++i) harness.Write(i, 1, std::string(900, 'x'));
  expect_all(12);
  harness.CutHead(30);
  harness.executor.RunAll();
  // What is ready, two spare ones, and what holds the last entries.
  expect_all(8);
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  expect_all(8);
  // An entry's own file is as large as it has to be.
  harness.Write(41, 1, std::string(10000, 'x'));
  EXPECT_EQ(harness.log->stats().disk_bytes, harness.files.used_bytes());
  // A segment that has been taken and not been written to, for lack of space, counts too.
  harness.files.SetCapacity(harness.files.used_bytes());
  harness.Write(42, 1, std::string(10000, 'x'));
  EXPECT_TRUE(harness.log->stats().out_of_space);
  EXPECT_EQ(harness.log->stats().disk_bytes, harness.files.used_bytes());
}

// Goal:   when segments are to be larger than they were, those that were prepared before do not count
//         as ready: with nothing but them, no write would ever be admitted.
TEST_F(LogSpace, SegmentsOfAnEarlierSmallerSizeAreNotWhatShouldBeReady) {
  LogHarness harness(2048);
  harness.options.ready_segments = 4;
  ASSERT_TRUE(harness.Open().ok());
  harness.Write(1, 1, "one");
  harness.Kill();
  harness.options.segment_bytes = 65536;
  harness.options.ready_segments = 2;
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(harness.log->stats().segments_ready, 3u);
  harness.executor.RunAll();
  EXPECT_EQ(harness.log->stats().segments_ready, 5u);
  // The next ones that are needed have no room for it, and it does not need the disk to have any.
  constexpr uint64_t kBytes = 8000;
  ASSERT_TRUE(harness.log->Admit(DemandFor(kBytes)).ok());
  harness.files.SetCapacity(harness.files.used_bytes());
  harness.Write(2, 1, std::string(kBytes, 'x'));
  EXPECT_EQ(harness.durable.back().first, 2u);
  EXPECT_EQ(harness.log->stats().segments, 2u);
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(2));
}

// On a full disk they are what there is: they still have room for votes.
TEST_F(LogSpace, SegmentsOfAnEarlierSmallerSizeAreUsedOnAFullDisk) {
  LogHarness harness(2048);
  harness.options.ready_segments = 4;
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 3; ++i) harness.Write(i, 1, std::string(1000, 'x'));
  harness.Kill();
  harness.files.SetCapacity(harness.files.used_bytes());
  harness.options.segment_bytes = 65536;
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t term = 2; term < 12; ++term) {
    const Ticket vote =
        harness.Append({.hard_state = HardState{Term(term), std::string(250, 'n'), Index(0)}});
    harness.executor.RunAll();
    EXPECT_EQ(harness.durable_ticket, vote);
  }
  EXPECT_THAT(harness.failures, IsEmpty());
}

TEST_F(LogSpace, SegmentsAreReadyBeforeTheyAreNeeded) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(harness.log->stats().segments_ready, 1u);
  harness.executor.RunAll();
  EXPECT_EQ(harness.log->stats().segments_ready, 2u);
  harness.Write(1, 1, "takes one");
  EXPECT_EQ(harness.log->stats().segments_ready, 2u);
  harness.Kill();
  // The one behind the tail is prepared anew, the next is used as it is.
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(harness.log->stats().segments_ready, 1u);
  harness.executor.RunAll();
  EXPECT_EQ(harness.log->stats().segments_ready, 2u);
  EXPECT_EQ(harness.log->stats().segments_reused, 1u);
}

}  // namespace
}  // namespace mokv::wal
