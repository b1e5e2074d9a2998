#include "wal/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/mutex.h"
#include "base/status.h"
#include "base/testing/sanitizers.h"
#include "wal/log_harness.h"

namespace mokv::wal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using Operation = CrashFileSystem::Operation;

TEST(Log, NewOneIsEmpty) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(harness.log->first_index(), Index(1));
  EXPECT_EQ(harness.log->last_index(), Index(0));
  EXPECT_EQ(harness.log->found().last_term, Term(0));
  EXPECT_EQ(harness.log->found().hard_state, HardState());
  EXPECT_EQ(harness.log->found().segments, 0u);
  EXPECT_TRUE(harness.log->Admit({}).ok());
  harness.log->Close();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, IsEmpty());
}

TEST(Log, KeepsEntriesAndHardState) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  const HardState hard_state{.term = Term(2), .vote = "node-1", .commit = Index(1)};
  const std::vector<Entry> entries = {
      {.index = Index(1), .term = Term(1), .type = EntryType::kConfiguration, .payload = nullptr},
      MakeEntry(2, 2, "two")};
  const Ticket ticket = harness.Append({.entries = entries, .hard_state = hard_state});
  EXPECT_EQ(harness.log->last_index(), Index(2));
  EXPECT_THAT(harness.durable, IsEmpty());
  harness.executor.RunAll();
  EXPECT_THAT(harness.durable, ElementsAre(Pair(2, 2)));
  EXPECT_EQ(harness.durable_ticket, ticket);
  harness.log->Close();

  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.EntryTexts(), ElementsAre("1/1 type 1 ", "2/2 type 2 two"));
  EXPECT_EQ(harness.log->found().hard_state, hard_state);
  EXPECT_EQ(harness.log->found().last_index, Index(2));
  EXPECT_EQ(harness.log->found().last_term, Term(2));
  EXPECT_EQ(harness.log->found().cut_bytes, 0u);
  harness.Write(3, 2, "three");
  EXPECT_THAT(harness.durable, ElementsAre(Pair(3, 2)));
}

TEST(Log, ManyAppendsShareOneSync) {
  LogHarness harness(1 << 20);
  ASSERT_TRUE(harness.Open().ok());
  harness.Write(1, 1, "creates the segment");
  const uint64_t syncs_before = harness.files.sync_count();
  for (uint64_t i = 2; i <= 101; ++i) {
    harness.Append({.entries = {MakeEntry(i, 1, "x")},
                    .hard_state = HardState{.term = Term(1), .vote = "n", .commit = Index(i - 1)}});
  }
  EXPECT_EQ(harness.executor.pending(), 1u);
  harness.executor.RunAll();
  EXPECT_EQ(harness.files.sync_count() - syncs_before, 1u);
  EXPECT_EQ(harness.syncs, 2);
  EXPECT_THAT(harness.durable, ElementsAre(Pair(1, 1), Pair(101, 1)));
  const Stats stats = harness.log->stats();
  EXPECT_EQ(stats.batches, 2u);
  EXPECT_EQ(stats.entries, 101u);
  EXPECT_EQ(stats.segments, 1u);
  ASSERT_TRUE((harness.Kill(), harness.Open().ok()));
  EXPECT_EQ(harness.log->found().hard_state.commit, Index(100));
  EXPECT_THAT(harness.entries, SizeIs(101));
}

TEST(Log, LongQueueIsWrittenInSeveralBatches) {
  LogHarness harness(64 << 20);
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 3; ++i) {
    harness.Append({.entries = {MakeEntry(i, 1, std::string(5 << 20, 'x'))}});
  }
  harness.executor.RunAll();
  EXPECT_THAT(harness.durable, ElementsAre(Pair(1, 1), Pair(2, 1), Pair(3, 1)));
  ASSERT_TRUE((harness.Kill(), harness.Open().ok()));
  EXPECT_THAT(harness.entries, SizeIs(3));
}

TEST(Log, HardStateAloneIsDurableWithItsTicket) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  harness.Write(1, 1, "a");
  const HardState vote{.term = Term(5), .vote = "n3", .commit = Index(1)};
  const Ticket ticket = harness.Append({.hard_state = vote});
  EXPECT_LT(harness.durable_ticket, ticket);
  harness.executor.RunAll();
  EXPECT_EQ(harness.durable_ticket, ticket);
  EXPECT_THAT(harness.durable, ElementsAre(Pair(1, 1), Pair(1, 1)));
  SeededRandom random(1);
  harness.Kill();
  harness.files.PowerLoss(random);
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(harness.log->found().hard_state, vote);
}

// Goal: whoever waits for a ticket hears of it, also of one whose write changes nothing, without an
//       fdatasync of its own, and not before all that came before it is durable.
TEST(Log, WhatChangesNothingIsDurableWithWhatCameBefore) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  harness.Append({});
  harness.executor.RunAll();
  EXPECT_EQ(harness.durable_ticket, harness.last_ticket);
  EXPECT_EQ(harness.syncs, 0);
  harness.Write(1, 1, "a");
  harness.Append({.truncate_from = Index(2)});
  harness.executor.RunAll();
  EXPECT_EQ(harness.durable_ticket, harness.last_ticket);
  EXPECT_EQ(harness.syncs, 1);
  EXPECT_THAT(harness.durable, ElementsAre(Pair(0, 0), Pair(1, 1), Pair(1, 1)));
  EXPECT_EQ(harness.log->stats().batches, 1u);
  // Behind a write that is not durable yet it is not either.
  harness.Append({.entries = {MakeEntry(2, 1, "b")}});
  const Ticket nothing = harness.CutHead(0);
  EXPECT_LT(harness.durable_ticket, nothing);
  harness.executor.RunAll();
  EXPECT_EQ(harness.durable_ticket, nothing);
  EXPECT_EQ(harness.syncs, 2);
  ASSERT_TRUE((harness.Kill(), harness.Open().ok()));
  EXPECT_THAT(harness.entries, SizeIs(2));
}

// Tickets are the caller's: they need not be without gaps.
TEST(Log, GivesBackTheTicketsOfItsCaller) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  harness.log->Append(Ticket(7), {.entries = {MakeEntry(1, 1, "a")}});
  harness.log->Append(Ticket(100), {.entries = {MakeEntry(2, 1, "b")}});
  harness.executor.RunAll();
  ASSERT_THAT(harness.batches, SizeIs(1));
  EXPECT_EQ(harness.batches[0].ticket, Ticket(100));
  EXPECT_DEATH(harness.log->Append(Ticket(100), {.truncate_from = Index(1)}), "ticket");
}

// Goal: who has no ticket for a cut or a reset gives the last one, and still no ticket is told before
//       all that was given under smaller ones, those cuts and resets among it, is durable.
TEST(Log, CutOrResetNeedsNoTicketOfItsOwn) {
  for (const Ticket same : {Ticket(0), Ticket(7)}) {
    LogHarness harness;
    ASSERT_TRUE(harness.Open().ok());
    const HardState vote{.term = Term(3), .vote = "n3", .commit = Index(0)};
    harness.log->Append(Ticket(7), {.entries = {MakeEntry(1, 1, "a"), MakeEntry(2, 1, "b")}});
    harness.log->CutHead(same, Index(1));
    harness.log->ResetTo(same, Index(90), Term(2));
    harness.log->Append(Ticket(9), {.entries = {MakeEntry(91, 3, "c")}, .hard_state = vote});
    EXPECT_EQ(harness.log->Read(Index(91), 100)->size(), 1u);
    harness.executor.RunAll();
    std::vector<std::pair<uint64_t, uint64_t>> told;
    for (const Durable& durable : harness.batches) {
      if (told.empty() || told.back().first != durable.ticket.value()) {
        told.emplace_back(durable.ticket.value(), durable.last.value());
      }
    }
    EXPECT_THAT(told, ElementsAre(Pair(7, 2), Pair(9, 91)));
    EXPECT_EQ(harness.log->Read(Index(91), 100)->size(), 1u);
    // Also when nothing else waits.
    harness.log->CutHead(harness.last_ticket = Ticket(9), Index(91));
    harness.executor.RunAll();
    EXPECT_EQ(harness.durable_ticket, Ticket(9));
    ASSERT_TRUE((harness.Kill(), harness.Open().ok()));
    EXPECT_EQ(harness.log->first_index(), Index(92));
    EXPECT_EQ(harness.log->found().hard_state, vote);
  }
}

TEST(Log, CutOrResetMayBeTheFirstThatIsGiven) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  harness.log->CutHead(Ticket(0), Index(0));
  harness.log->ResetTo(Ticket(0), Index(5), Term(1));
  harness.executor.RunAll();
  EXPECT_EQ(harness.durable_ticket, Ticket(0));
  harness.log->Append(Ticket(2), {.entries = {MakeEntry(6, 1, "a")}});
  harness.executor.RunAll();
  EXPECT_EQ(harness.durable_ticket, Ticket(2));
  EXPECT_DEATH(harness.log->CutHead(Ticket(1), Index(6)), "ticket");
}

// Goal: a crash anywhere between a reset and what follows it never leaves the latter alone.
TEST(Log, TicketAfterAResetIsToldOnlyWithTheReset) {
  for (uint64_t operations = 0; operations < 8; ++operations) {
    LogHarness harness;
    ASSERT_TRUE(harness.Open().ok());
    harness.Write(1, 1, "a");
    harness.log->ResetTo(harness.last_ticket, Index(50), Term(2));
    const Ticket next = harness.Append({.hard_state = HardState{.term = Term(9), .vote = "n"}});
    harness.files.StopAfter(operations);
    harness.executor.RunAll();
    const bool told = harness.durable_ticket == next;
    SeededRandom random(operations);
    harness.Kill();
    harness.files.PowerLoss(random);
    ASSERT_TRUE(harness.Open().ok());
    const bool reset = harness.log->first_index() == Index(51);
    const bool voted = harness.log->found().hard_state.term == Term(9);
    EXPECT_TRUE(!told || (reset && voted)) << operations;
    EXPECT_TRUE(!voted || reset) << operations;
  }
}

// Goal: of a large Append, which is written in pieces, nobody hears before the last one is durable.
TEST(Log, PartOfALargeAppendDoesNotGiveItsTicketBack) {
  LogHarness harness(4096);
  ASSERT_TRUE(harness.Open().ok());
  harness.executor.RunAll();
  harness.log->Append(Ticket(5), {.hard_state = HardState{.term = Term(1)}});
  AppendRequest request;
  for (uint64_t i = 1; i <= 40; ++i)
    request.entries.push_back(MakeEntry(i, 1, std::string(200, 'x')));
  harness.log->Append(Ticket(9), std::move(request));
  harness.executor.RunAll();
  ASSERT_GT(harness.batches.size(), 1u);
  EXPECT_EQ(harness.batches.front().ticket, Ticket(5));
  EXPECT_EQ(harness.batches.back().ticket, Ticket(9));
  for (const Durable& durable : harness.batches) {
    EXPECT_EQ(durable.ticket == Ticket(9), durable.last == Index(40)) << durable.last.value();
  }
}

TEST(Log, RollsAndRepeatsTheHardState) {
  LogHarness harness(2048);
  ASSERT_TRUE(harness.Open().ok());
  const HardState hard_state{.term = Term(7), .vote = "voted-for", .commit = Index(0)};
  harness.Append({.hard_state = hard_state});
  harness.executor.RunAll();
  EXPECT_THAT(harness.durable, ElementsAre(Pair(0, 0)));
  for (uint64_t i = 1; i <= 30; ++i) harness.Write(i, 7, std::string(200, 'a'));
  const uint64_t segments = harness.log->stats().segments;
  EXPECT_GT(segments, 3u);
  for (uint64_t generation = 1; generation <= segments; ++generation) {
    EXPECT_THAT(harness.files.Contents(harness.PathOf(generation)), HasSubstr("voted-for"));
  }
  ASSERT_TRUE((harness.Kill(), harness.Open().ok()));
  EXPECT_THAT(harness.entries, SizeIs(30));
  EXPECT_EQ(harness.log->found().hard_state, hard_state);
}

TEST(Log, StartingASegmentCostsNoSyncOfItsOwn) {
  LogHarness harness(2048);
  ASSERT_TRUE(harness.Open().ok());
  harness.executor.RunAll();  // Segments are ready.
  const uint64_t entry_bytes = 1200;
  harness.Append({.entries = {MakeEntry(1, 1, std::string(entry_bytes, 'a'))}});
  harness.Append({.entries = {MakeEntry(2, 1, std::string(entry_bytes, 'b'))}});
  const uint64_t syncs = harness.files.sync_count();
  ASSERT_TRUE(harness.executor.RunOne());
  EXPECT_EQ(harness.log->stats().segments, 2u);
  EXPECT_EQ(harness.files.sync_count() - syncs, 2u);
}

TEST(Log, HugeEntryGetsASegmentOfItsOwnSize) {
  LogHarness harness(2048);
  ASSERT_TRUE(harness.Open().ok());
  harness.Write(1, 1, "small");
  harness.Write(2, 1, std::string(10000, 'b'));
  harness.Write(3, 1, "small again");
  EXPECT_EQ(harness.log->stats().segments, 3u);
  ASSERT_TRUE((harness.Kill(), harness.Open().ok()));
  ASSERT_THAT(harness.entries, SizeIs(3));
  EXPECT_EQ(harness.entries[1].bytes(), std::string(10000, 'b'));
}

// A large Append is written in pieces; none may be there without the term that it belongs to.
TEST(Log, PartOfALargeAppendComesWithItsHardState) {
  LogHarness harness(4096);
  ASSERT_TRUE(harness.Open().ok());
  harness.executor.RunAll();
  AppendRequest request;
  for (uint64_t i = 1; i <= 40; ++i)
    request.entries.push_back(MakeEntry(i, 9, std::string(200, 'x')));
  request.hard_state = {.term = Term(9), .vote = "", .commit = Index(40)};
  harness.Append(std::move(request));
  harness.files.StopAfter(4);  // Of two batches the second is cut short.
  harness.executor.RunAll();
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_GT(harness.entries.size(), 0u);
  ASSERT_LT(harness.entries.size(), 40u);
  EXPECT_EQ(harness.log->found().hard_state.term, Term(9));
  EXPECT_LE(harness.log->found().hard_state.commit, harness.log->last_index());
}

TEST(Log, TruncationReplacesEntriesOverSegments) {
  LogHarness harness(2048);
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 6; ++i) harness.Write(i, 1, std::string(600, 'o'));
  EXPECT_GE(harness.log->stats().segments, 3u);
  harness.Append({.truncate_from = Index(5)});
  harness.Append({.truncate_from = Index(3), .entries = {MakeEntry(3, 2, "n3")}});
  EXPECT_EQ(harness.log->last_index(), Index(3));
  harness.executor.RunAll();
  EXPECT_THAT(harness.durable.back(), Pair(3, 2));
  harness.Write(4, 3, "n4");
  harness.Append({.truncate_from = Index(4), .entries = {MakeEntry(4, 4, "m4")}});
  harness.executor.RunAll();
  ASSERT_TRUE((harness.Kill(), harness.Open().ok()));
  const std::string old(600, 'o');
  EXPECT_THAT(harness.EntryTexts(), ElementsAre("1/1 type 2 " + old, "2/1 type 2 " + old,
                                                "3/2 type 2 n3", "4/4 type 2 m4"));
  EXPECT_EQ(harness.log->found().last_term, Term(4));
  // By itself it is a write like any other.
  harness.Append({.truncate_from = Index(2)});
  harness.executor.RunAll();
  ASSERT_TRUE((harness.Kill(), harness.Open().ok()));
  EXPECT_EQ(harness.log->last_index(), Index(1));
  EXPECT_EQ(harness.log->found().last_term, Term(1));
}

TEST(Log, CutHeadUsesFilesAgainAndKeepsTheHardState) {
  LogHarness harness(2048);
  ASSERT_TRUE(harness.Open().ok());
  const HardState hard_state{.term = Term(3), .vote = "n2", .commit = Index(20)};
  for (uint64_t i = 1; i <= 20; ++i) harness.Write(i, 3, std::string(300, 'a'));
  harness.Append({.hard_state = hard_state});
  harness.executor.RunAll();
  const uint64_t before = harness.log->stats().segments;
  harness.CutHead(17);
  EXPECT_EQ(harness.log->first_index(), Index(18));
  harness.executor.RunAll();
  EXPECT_LT(harness.log->stats().segments, before - 2);
  EXPECT_GT(harness.log->stats().segments_ready, 0u);
  for (uint64_t i = 21; i <= 30; ++i) harness.Write(i, 3, std::string(300, 'b'));
  EXPECT_GT(harness.log->stats().segments_reused, 0u);
  EXPECT_EQ(harness.log->TermAt(Index(17)), Term(3));
  EXPECT_EQ(harness.log->TermAt(Index(16)), std::nullopt);
  harness.CutHead(3);  // Behind already.
  ASSERT_TRUE((harness.Kill(), harness.Open().ok()));
  EXPECT_EQ(harness.log->first_index(), Index(18));
  EXPECT_EQ(harness.log->last_index(), Index(30));
  EXPECT_THAT(harness.entries, SizeIs(13));
  EXPECT_EQ(harness.log->found().hard_state, hard_state);
  EXPECT_EQ(harness.log->TermAt(Index(17)), Term(3));
}

TEST(Log, WholeLogCanBeCut) {
  LogHarness harness(2048);
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 5; ++i) harness.Write(i, 2, "x");
  harness.CutHead(5);
  harness.executor.RunAll();
  EXPECT_EQ(harness.log->last_index(), Index(5));
  ASSERT_TRUE((harness.Kill(), harness.Open().ok()));
  EXPECT_EQ(harness.log->first_index(), Index(6));
  EXPECT_EQ(harness.log->last_index(), Index(5));
  EXPECT_EQ(harness.log->found().last_term, Term(2));
  harness.Write(6, 2, "y");
  ASSERT_TRUE((harness.Kill(), harness.Open().ok()));
  EXPECT_THAT(harness.EntryTexts(), ElementsAre("6/2 type 2 y"));
}

TEST(Log, ResetEmptiesItAndKeepsTheHardState) {
  for (const uint64_t last : {2, 5, 1000}) {
    LogHarness harness(2048);
    ASSERT_TRUE(harness.Open().ok());
    const HardState hard_state{.term = Term(3), .vote = "n2", .commit = Index(1)};
    for (uint64_t i = 1; i <= 5; ++i) harness.Write(i, 3, std::string(700, 'a'));
    harness.Append({.hard_state = hard_state});
    const Ticket ticket = harness.ResetTo(last, 7);
    EXPECT_EQ(harness.log->first_index(), Index(last + 1));
    EXPECT_EQ(harness.log->last_index(), Index(last));
    harness.executor.RunAll();
    EXPECT_EQ(harness.durable_ticket, ticket);
    EXPECT_THAT(harness.durable.back(), Pair(last, 7));
    harness.Write(last + 1, 8, "new");
    ASSERT_TRUE((harness.Kill(), harness.Open().ok()));
    EXPECT_THAT(harness.EntryTexts(), ElementsAre(fmt::format("{}/8 type 2 new", last + 1)));
    EXPECT_EQ(harness.log->TermAt(Index(last)), Term(7));
    EXPECT_EQ(harness.log->found().hard_state, hard_state);
  }
}

TEST(Log, CloseWritesWhatIsQueued) {
  LogHarness harness(2048);
  ASSERT_TRUE(harness.Open().ok());
  // More than the ready segments have room for.
  for (uint64_t i = 1; i <= 10; ++i) {
    harness.Append({.entries = {MakeEntry(i, 1, std::string(1000, 'q'))}});
  }
  harness.executor.DropAll();  // The threads have stopped.
  harness.log->Close();
  EXPECT_THAT(harness.durable.back(), Pair(10, 1));
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(10));
}

// Goal:   after a failed operation of any kind the log never claims anything again.
// Method: fail each kind once; the file system works again at once, as a flaky disk would. A sync
//         that says "no space" is as final as any.
TEST(Log, FailureIsFinalAndReportedOnce) {
  for (const Operation failing :
       {Operation::kWrite, Operation::kSync, Operation::kCreate, Operation::kPreallocate,
        Operation::kRename, Operation::kSyncDirectory}) {
    SCOPED_TRACE(static_cast<int>(failing));
    LogHarness harness(2048);
    ASSERT_TRUE(harness.Open().ok());
    harness.Write(1, 1, "fine");
    bool failed = false;
    harness.files.SetFault([&](Operation operation, const std::string& path) -> absl::Status {
      if (failed || operation != failing) return absl::OkStatus();
      failed = true;
      if (operation == Operation::kSync) return ResourceExhausted("{}: no space", path);
      return Unavailable("{}: broken", path);
    });
    harness.Write(2, 1, std::string(1900, 'x'));  // Needs a new segment.
    harness.Append({.entries = {MakeEntry(3, 1, "ignored")}});
    harness.executor.RunAll();
    ASSERT_TRUE(failed);
    harness.Write(4, 1, "ignored");
    harness.Append({.truncate_from = Index(3)});
    harness.Write(3, 1, "ignored");
    EXPECT_TRUE(absl::IsUnavailable(harness.log->Admit({})));
    const uint64_t operations = harness.files.operation_count();
    harness.log->Close();
    EXPECT_EQ(harness.files.operation_count(), operations);
    harness.clock.now = harness.clock.now + std::chrono::seconds(1);
    EXPECT_EQ(harness.log->stats().oldest_unsynced, Duration(0));
    ASSERT_THAT(harness.failures, SizeIs(1));
    EXPECT_TRUE(absl::IsUnavailable(harness.failures[0])) << harness.failures[0];
    EXPECT_THAT(std::string(MessageOf(harness.failures[0])), HasSubstr("/data/log"));
    ASSERT_TRUE(harness.Open().ok());
    EXPECT_EQ(harness.EntryTexts().at(0), "1/1 type 2 fine");
  }
}

TEST(Log, SaysHowLongTheOldestWriteWaits) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(harness.log->stats().oldest_unsynced, Duration(0));
  harness.Append({.entries = {MakeEntry(1, 1, "a")}});
  harness.clock.now = harness.clock.now + std::chrono::seconds(3);
  harness.Append({.entries = {MakeEntry(2, 1, "b")}});
  EXPECT_EQ(harness.log->stats().oldest_unsynced, std::chrono::seconds(3));
  harness.executor.RunAll();
  EXPECT_EQ(harness.log->stats().oldest_unsynced, Duration(0));
}

// What a failed fdatasync left in the page cache reads well after a restart but is not on the disk:
// having reported it, the log must have brought it there.
TEST(Log, RecoveryRewritesWhatAFailedSyncLeftBehind) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  harness.Write(1, 1, "durable");
  harness.files.SetFault([&](Operation operation, const std::string& path) {
    return operation == Operation::kSync ? Unavailable("{}: bad sector", path) : absl::OkStatus();
  });
  harness.Write(2, 1, "in the cache only");
  ASSERT_THAT(harness.failures, SizeIs(1));
  harness.files.SetFault(nullptr);
  harness.Kill();
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_THAT(harness.entries, SizeIs(2));
  harness.Kill();
  SeededRandom random(1);
  harness.files.PowerLoss(random);
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(2));
}

TEST(Log, IsLockedWhileOpen) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  LogHarness other;
  other.file_system = &harness.files;
  const absl::Status status = other.Open();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_EQ(std::string(MessageOf(status)), "/data/log/log.lock is locked by another process");
  harness.log->Close();
  EXPECT_TRUE(other.Open().ok());
}

TEST(Log, ErrorOfTheEntryCallbackEndsTheRecovery) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  harness.Write(1, 1, "a");
  harness.log->Close();
  Log::Callbacks callbacks;
  callbacks.on_durable = [](const Durable&) {};
  callbacks.on_failure = [](const absl::Status&) {};
  const auto opened = Log::Open(harness.files, SystemClock(), harness.executor, harness.executor,
                                harness.options, std::move(callbacks), [](const EntryView& entry) {
                                  return InvalidArgument("entry {}", entry.index);
                                });
  EXPECT_TRUE(absl::IsInvalidArgument(opened.status()));
}

// A log thread of its own, as in the product.
class ThreadExecutor final : public Executor {
 public:
  ThreadExecutor() : thread_([this] { Run(); }) {}
  void Post(Task task) override {
    const MutexLock lock(mutex_);
    tasks_.push_back(std::move(task));
    changed_.NotifyOne();
  }
  void Stop() {
    Post(nullptr);
    thread_.join();
  }

 private:
  void Run() {
    while (true) {
      Task task;
      {
        MutexLock lock(mutex_);
        while (tasks_.empty()) changed_.Wait(lock);
        task = std::move(tasks_.front());
        tasks_.erase(tasks_.begin());
      }
      if (!task) return;
      task();
    }
  }

  Mutex mutex_;
  CondVar changed_;
  std::vector<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

class RealLog : public ::testing::Test {
 protected:
  RealLog() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mokv-wal-XXXXXX").string();
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    options_.directory = directory_ + "/log";
    options_.segment_bytes = 16384;
  }
  ~RealLog() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<Log> Open(FileSystem& files, Executor& log_thread, Executor& background) {
    Log::Callbacks callbacks;
    callbacks.on_durable = [this](const Durable& durable) { durable_ = durable.last.value(); };
    callbacks.on_failure = [](const absl::Status& status) { ADD_FAILURE() << status; };
    auto log = Log::Open(files, SystemClock(), log_thread, background, options_,
                         std::move(callbacks), [this](const EntryView& entry) {
                           found_.push_back(std::string(entry.payload));
                           return absl::OkStatus();
                         });
    EXPECT_TRUE(log.ok()) << log.status();
    return *std::move(log);
  }

  std::string directory_;
  Options options_;
  std::atomic<uint64_t> durable_{0};
  std::vector<std::string> found_;
};

// Reading back, cutting the head and preparing segments, while the log thread writes.
TEST_F(RealLog, WorksOnRealFilesWithRealThreads) {
  constexpr uint64_t kEntries = 2000;
  {
    ThreadExecutor log_thread;
    ThreadExecutor background;
    const auto log = Open(PosixFileSystem(), log_thread, background);
    Ticket ticket;
    for (uint64_t i = 1; i <= kEntries; ++i) {
      while (!log->Admit({.entries = 1, .payload_bytes = 20, .largest_payload_bytes = 20}).ok()) {
        log->Tick();
        std::this_thread::yield();
      }
      AppendRequest request;
      request.entries.push_back(MakeEntry(i, 1, fmt::format("payload {}", i)));
      request.hard_state = {.term = Term(1), .vote = "n", .commit = Index(i)};
      log->Append(++ticket, std::move(request));
      (void)log->stats();
      if (i % 50 == 0) {
        const Index first = log->first_index();
        const auto read = log->Read(first, 3000);
        ASSERT_TRUE(read.ok()) << read.status();
        for (size_t k = 0; k < read->size(); ++k) {
          ASSERT_EQ((*read)[k].bytes(), fmt::format("payload {}", first + k));
        }
      }
      if (i % 400 == 0) log->CutHead(++ticket, Index(i - 200));
    }
    log_thread.Stop();
    background.Stop();
    log->Close();
    EXPECT_EQ(durable_, kEntries);
    EXPECT_GT(log->stats().segments_reused, 0u);
  }
  ManualExecutor executor;
  const auto log = Open(PosixFileSystem(), executor, executor);
  EXPECT_EQ(log->first_index(), Index(kEntries - 199));
  EXPECT_EQ(log->last_index(), Index(kEntries));
  ASSERT_GE(found_.size(), 200u);
  EXPECT_EQ(found_.back(), fmt::format("payload {}", kEntries));
  EXPECT_EQ(log->found().hard_state.commit, Index(kEntries));
}

// While this lives no file can be opened: all descriptors are taken.
class NoDescriptors {
 public:
  NoDescriptors() {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    rlimit none = before_;
    none.rlim_cur = 0;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

// Goal:   a lack of descriptors passes: it ends no log, and loses none of its files.
// Method: take all of them away while segments are retired, then while spare ones are prepared.
TEST_F(RealLog, OutlivesALackOfDescriptors) {
  // UBSan asks through a pipe whether an object's memory can be read, and takes it for damaged when it
  // gets none.
  if (kAddressSanitizer) GTEST_SKIP() << "the sanitizer needs descriptors itself";
  ManualExecutor executor;
  const auto log = Open(PosixFileSystem(), executor, executor);
  executor.RunAll();
  uint64_t last = 0;
  const auto write = [&](uint64_t entries) {
    for (const uint64_t end = last + entries; last < end;) {
      ++last;
      log->Append(Ticket(last), {.entries = {MakeEntry(last, 1, std::string(3000, 'x'))}});
      executor.RunAll();
    }
  };
  write(30);
  const uint64_t disk_bytes = log->stats().disk_bytes;
  {
    const NoDescriptors none;
    ASSERT_TRUE(absl::IsResourceExhausted(
        PosixFileSystem().Open(options_.directory, FileSystem::OpenMode::kRead).status()));
    log->CutHead(Ticket(0), Index(last));
    executor.RunAll();
    EXPECT_LT(log->stats().segments, 3u);
    EXPECT_LT(log->stats().disk_bytes, disk_bytes);
    EXPECT_FALSE(log->stats().out_of_space);
    write(10);
    EXPECT_TRUE(log->stats().out_of_space);
  }
  log->Tick();
  executor.RunAll();
  EXPECT_FALSE(log->stats().out_of_space);
  EXPECT_GE(log->stats().segments_reused, 2u);
  write(10);
  EXPECT_EQ(durable_, last);
  log->Close();
}

// A leader that cannot persist has to notice: nothing of the log waits for the disk but the log
// thread.
TEST_F(RealLog, HangingSyncHoldsUpNobodyElse) {
  CrashFileSystem files;
  ThreadExecutor log_thread;
  ThreadExecutor background;
  const auto log = Open(files, log_thread, background);
  files.HangSyncs(true);
  for (uint64_t i = 1; i <= 10; ++i) {
    log->Append(Ticket(i), {.entries = {MakeEntry(i, 1, "waits")}});
  }
  while (log->stats().oldest_unsynced < std::chrono::milliseconds(20)) std::this_thread::yield();
  EXPECT_EQ(durable_, 0u);
  EXPECT_EQ(log->Read(Index(1), 1000)->size(), 10u);
  files.HangSyncs(false);
  while (durable_ < 10) std::this_thread::yield();
  EXPECT_EQ(log->stats().oldest_unsynced, Duration(0));
  log_thread.Stop();
  background.Stop();
  log->Close();
}

}  // namespace
}  // namespace mokv::wal
