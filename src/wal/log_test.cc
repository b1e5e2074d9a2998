#include "wal/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/mutex.h"
#include "base/status.h"
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
  EXPECT_EQ(harness.log->recovery().last_term, Term(0));
  EXPECT_EQ(harness.log->recovery().hard_state, HardState());
  EXPECT_EQ(harness.log->recovery().segments, 0u);
  EXPECT_TRUE(harness.log->CanAppend());
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
  harness.log->Append(entries, hard_state);
  EXPECT_EQ(harness.log->last_index(), Index(2));
  EXPECT_THAT(harness.durable, IsEmpty());
  harness.executor.RunAll();
  EXPECT_THAT(harness.durable, ElementsAre(Pair(2, 2)));
  harness.log->Close();

  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.EntryTexts(), ElementsAre("1/1 type 1 ", "2/2 type 2 two"));
  EXPECT_EQ(harness.log->recovery().hard_state, hard_state);
  EXPECT_EQ(harness.log->recovery().last_index, Index(2));
  EXPECT_EQ(harness.log->recovery().last_term, Term(2));
  EXPECT_EQ(harness.log->recovery().cut_bytes, 0u);
  harness.Write(3, 2, "three");
  EXPECT_THAT(harness.durable, ElementsAre(Pair(3, 2)));
}

TEST(Log, ManyAppendsShareOneSync) {
  LogHarness harness(1 << 20);
  ASSERT_TRUE(harness.Open().ok());
  harness.Write(1, 1, "creates the segment");
  const uint64_t syncs_before = harness.files.sync_count();
  for (uint64_t i = 2; i <= 101; ++i) {
    const Entry entry = MakeEntry(i, 1, "x");
    harness.log->Append({&entry, 1},
                        HardState{.term = Term(1), .vote = "n", .commit = Index(i - 1)});
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
  EXPECT_EQ(harness.log->recovery().hard_state.commit, Index(100));
  EXPECT_THAT(harness.entries, SizeIs(101));
}

TEST(Log, LongQueueIsWrittenInSeveralBatches) {
  LogHarness harness(64 << 20);
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 3; ++i) {
    const Entry entry = MakeEntry(i, 1, std::string(5 << 20, 'x'));
    harness.log->Append({&entry, 1}, std::nullopt);
  }
  harness.executor.RunAll();
  EXPECT_THAT(harness.durable, ElementsAre(Pair(1, 1), Pair(2, 1), Pair(3, 1)));
  ASSERT_TRUE((harness.Kill(), harness.Open().ok()));
  EXPECT_THAT(harness.entries, SizeIs(3));
}

TEST(Log, RollsAndRepeatsTheHardState) {
  LogHarness harness(512);
  ASSERT_TRUE(harness.Open().ok());
  const HardState hard_state{.term = Term(7), .vote = "voted-for", .commit = Index(0)};
  harness.log->Append({}, hard_state);
  harness.executor.RunAll();
  EXPECT_THAT(harness.durable, ElementsAre(Pair(0, 0)));
  for (uint64_t i = 1; i <= 10; ++i) harness.Write(i, 7, std::string(100, 'a'));
  EXPECT_GT(harness.log->stats().segments, 3u);
  for (uint64_t generation = 1; generation <= harness.log->stats().segments; ++generation) {
    EXPECT_THAT(harness.files.Contents(harness.PathOf(generation)), HasSubstr("voted-for"));
  }
  ASSERT_TRUE((harness.Kill(), harness.Open().ok()));
  EXPECT_THAT(harness.entries, SizeIs(10));
  EXPECT_EQ(harness.log->recovery().hard_state, hard_state);
}

TEST(Log, OversizedBatchGetsASegmentOfItsOwn) {
  LogHarness harness(512);
  ASSERT_TRUE(harness.Open().ok());
  harness.Write(1, 1, "small");
  harness.Write(2, 1, std::string(10000, 'b'));
  harness.Write(3, 1, "small again");
  EXPECT_EQ(harness.log->stats().segments, 3u);
  ASSERT_TRUE((harness.Kill(), harness.Open().ok()));
  ASSERT_THAT(harness.entries, SizeIs(3));
  EXPECT_EQ(harness.entries[1].bytes(), std::string(10000, 'b'));
}

TEST(Log, TruncationReplacesEntriesOverSegments) {
  LogHarness harness(256);
  ASSERT_TRUE(harness.Open().ok());
  for (uint64_t i = 1; i <= 6; ++i) harness.Write(i, 1, std::string(60, 'o'));
  harness.log->TruncateFrom(Index(5));
  harness.log->TruncateFrom(Index(3));
  EXPECT_EQ(harness.log->last_index(), Index(2));
  EXPECT_EQ(harness.executor.pending(), 0u);  // Waits for what replaces them.
  harness.Write(3, 2, "n3");
  EXPECT_THAT(harness.durable.back(), Pair(3, 2));
  harness.Write(4, 3, "n4");
  harness.log->TruncateFrom(Index(4));
  harness.Write(4, 4, "m4");
  ASSERT_TRUE((harness.Kill(), harness.Open().ok()));
  const std::string old(60, 'o');
  EXPECT_THAT(harness.EntryTexts(), ElementsAre("1/1 type 2 " + old, "2/1 type 2 " + old,
                                                "3/2 type 2 n3", "4/4 type 2 m4"));
  EXPECT_EQ(harness.log->recovery().last_term, Term(4));
  // By itself it is written at the latest by Close.
  harness.log->TruncateFrom(Index(2));
  harness.log->Close();
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_EQ(harness.log->last_index(), Index(1));
  EXPECT_EQ(harness.log->recovery().last_term, Term(1));
}

TEST(Log, CloseWritesWhatIsQueued) {
  LogHarness harness;
  ASSERT_TRUE(harness.Open().ok());
  const Entry entry = MakeEntry(1, 1, "queued");
  harness.log->Append({&entry, 1}, std::nullopt);
  harness.executor.DropAll();  // The log thread has stopped.
  harness.log->Close();
  EXPECT_THAT(harness.durable, ElementsAre(Pair(1, 1)));
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.entries, SizeIs(1));
}

TEST(Log, QueueIsBounded) {
  LogHarness harness;
  harness.options.queue_bytes_max = 1000;
  ASSERT_TRUE(harness.Open().ok());
  const Entry one = MakeEntry(1, 1, std::string(500, 'x'));
  const Entry two = MakeEntry(2, 1, std::string(500, 'x'));
  harness.log->Append({&one, 1}, std::nullopt);
  EXPECT_TRUE(harness.log->CanAppend());
  harness.log->Append({&two, 1}, std::nullopt);
  EXPECT_FALSE(harness.log->CanAppend());
  harness.executor.RunAll();
  EXPECT_TRUE(harness.log->CanAppend());
}

// Goal:   after a failed operation of any kind the log never claims anything again.
// Method: fail each kind once; the file system works again at once, as a flaky disk would.
TEST(Log, FailureIsFinalAndReportedOnce) {
  for (const Operation failing : {Operation::kWrite, Operation::kSync, Operation::kCreate,
                                  Operation::kPreallocate, Operation::kSyncDirectory}) {
    SCOPED_TRACE(static_cast<int>(failing));
    LogHarness harness(512);
    ASSERT_TRUE(harness.Open().ok());
    harness.Write(1, 1, "fine");
    bool failed = false;
    harness.files.SetFault([&](Operation operation, const std::string& path) {
      if (failed || operation != failing) return absl::OkStatus();
      failed = true;
      return ResourceExhausted("{}: no space", path);
    });
    harness.Write(2, 1, std::string(450, 'x'));  // Needs a new segment.
    ASSERT_TRUE(failed);
    harness.Write(3, 1, "ignored");
    harness.log->TruncateFrom(Index(3));
    harness.Write(3, 1, "ignored");
    EXPECT_FALSE(harness.log->CanAppend());
    const uint64_t operations = harness.files.operation_count();
    harness.log->Close();
    EXPECT_EQ(harness.files.operation_count(), operations);
    ASSERT_THAT(harness.failures, SizeIs(1));
    EXPECT_TRUE(absl::IsResourceExhausted(harness.failures[0]));
    EXPECT_THAT(std::string(MessageOf(harness.failures[0])), HasSubstr("/data/log"));
    EXPECT_THAT(harness.durable, ElementsAre(Pair(1, 1)));
    ASSERT_TRUE(harness.Open().ok());
    EXPECT_EQ(harness.EntryTexts().at(0), "1/1 type 2 fine");
  }
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
  callbacks.on_durable = [](Index, Term) {};
  callbacks.on_failure = [](const absl::Status&) {};
  const auto opened = Log::Open(
      harness.files, SystemClock(), harness.executor, harness.options, std::move(callbacks),
      [](const Entry& entry) { return InvalidArgument("entry {}", entry.index); });
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

TEST(Log, WorksOnRealFilesWithARealThread) {
  std::string directory = (std::filesystem::temp_directory_path() / "mokv-wal-XXXXXX").string();
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  Options options;
  options.directory = directory + "/log";
  options.segment_bytes = 16384;
  constexpr uint64_t kEntries = 500;
  std::atomic<uint64_t> durable{0};
  const auto open = [&](Executor& executor, std::vector<Entry>& found) {
    Log::Callbacks callbacks;
    callbacks.on_durable = [&](Index last, Term) { durable = last.value(); };
    callbacks.on_failure = [](const absl::Status& status) { ADD_FAILURE() << status; };
    return Log::Open(PosixFileSystem(), SystemClock(), executor, options, std::move(callbacks),
                     [&](Entry entry) {
                       found.push_back(std::move(entry));
                       return absl::OkStatus();
                     });
  };
  {
    ThreadExecutor executor;
    std::vector<Entry> found;
    auto log = open(executor, found);
    ASSERT_TRUE(log.ok()) << log.status();
    for (uint64_t i = 1; i <= kEntries; ++i) {
      const Entry entry = MakeEntry(i, 1, fmt::format("payload {}", i));
      (*log)->Append({&entry, 1}, HardState{.term = Term(1), .vote = "n", .commit = Index(i)});
      (void)(*log)->CanAppend();
      (void)(*log)->stats();
    }
    executor.Stop();
    (*log)->Close();
    EXPECT_EQ(durable, kEntries);
    EXPECT_EQ((*log)->stats().entries, kEntries);
  }
  ManualExecutor executor;
  std::vector<Entry> found;
  const auto log = open(executor, found);
  ASSERT_TRUE(log.ok()) << log.status();
  ASSERT_THAT(found, SizeIs(kEntries));
  EXPECT_EQ(found.back().bytes(), fmt::format("payload {}", kEntries));
  EXPECT_EQ((*log)->recovery().hard_state.commit, Index(kEntries));
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace mokv::wal
