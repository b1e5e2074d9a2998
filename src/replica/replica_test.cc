// The replica on the real log and store, over a simulated disk, one step at a time.
#include "replica/replica.h"

#include <gtest/gtest.h>

#include "base/status.h"
#include "base/testing/crash_file_system.h"
#include "base/testing/manual_executor.h"

namespace mokv::replica {
namespace {

class FakeClock final : public Clock {
 public:
  MonotonicTime Now() const override { return now; }
  Duration WallTime() const override { return now.since_start; }
  MonotonicTime now;
};

// One life of a node: from start to stop or crash.
class NodeLife {
 public:
  NodeLife(CrashFileSystem& files, std::optional<std::string> new_cluster_id,
           uint64_t memory_bytes_max = 0) {
    Replica::Callbacks callbacks;
    callbacks.on_serving_changed = [this](bool now) { serving = now; };
    callbacks.on_fatal = [this](const absl::Status& reason) { fatal = reason; };
    Replica::Options options;
    options.node_id = "node-1";
    options.proposals_pending_max = 4;
    options.memory_bytes_max = memory_bytes_max;
    replica =
        std::make_unique<Replica>(replica_thread, clock, store, options, std::move(callbacks));
    wal::Log::Callbacks log_callbacks;
    log_callbacks.on_durable = [this](const wal::Durable& durable) {
      replica->OnDurable(durable.last, durable.last_term);
    };
    log_callbacks.on_failure = [this](absl::Status reason) { replica->OnLogFailure(reason); };
    wal::Options log_options;
    log_options.directory = "log";
    log_options.segment_bytes = 64 << 10;
    auto opened =
        wal::Log::Open(files, clock, log_thread, log_thread, log_options, std::move(log_callbacks),
                       [this](const wal::EntryView& entry) { return replica->Recover(entry); });
    EXPECT_TRUE(opened.ok()) << opened.status();
    log = std::move(*opened);
    replica->Start(*log, std::move(new_cluster_id));
  }

  void RunAll() {
    while (replica_thread.RunOne() || log_thread.RunOne()) {
    }
  }

  // The outcome is empty until the write is answered.
  std::shared_ptr<std::optional<WriteResult>> Set(const std::string& key,
                                                  std::optional<Revision> expected = {}) {
    auto result = std::make_shared<std::optional<WriteResult>>();
    replica->Propose(store::SetCommand{key, "value of " + key, expected},
                     [result](const WriteResult& answer) { *result = answer; });
    return result;
  }

  std::shared_ptr<std::optional<absl::Status>> Read(ReadRequirement requirement,
                                                    Duration wait = std::chrono::seconds(5)) {
    auto result = std::make_shared<std::optional<absl::Status>>();
    replica->WaitForRead(requirement, clock.now + wait,
                         [result](const absl::Status& status) { *result = status; });
    return result;
  }

  FakeClock clock;
  ManualExecutor replica_thread;
  ManualExecutor log_thread;
  store::Store store;
  std::unique_ptr<Replica> replica;
  std::unique_ptr<wal::Log> log;
  bool serving = false;
  std::optional<absl::Status> fatal;
};

TEST(Replica, ServesOnceItsOwnTermIsDurable) {
  CrashFileSystem files;
  NodeLife life(files, "cluster-1");
  EXPECT_FALSE(life.serving);
  EXPECT_FALSE(life.replica->CanReadNow({}));
  EXPECT_EQ((*life.Set("early"))->fate, WriteResult::Fate::kNotDone);
  life.RunAll();
  EXPECT_TRUE(life.serving);
  EXPECT_TRUE(life.replica->CanReadNow({}));
  EXPECT_EQ(life.replica->cluster_id(), "cluster-1");
  EXPECT_EQ(life.replica->status().applied_index, Index(2));  // Configuration and no-op.
}

TEST(Replica, AnswersOnlyWhatIsDurableAndPublished) {
  CrashFileSystem files;
  NodeLife life(files, "cluster-1");
  life.RunAll();
  const auto write = life.Set("k");
  while (life.replica_thread.RunOne()) {
  }
  EXPECT_FALSE(write->has_value()) << "answered before the log was durable";
  EXPECT_EQ(life.store.revision(), Revision(0));
  life.RunAll();
  ASSERT_TRUE(write->has_value());
  EXPECT_EQ((*write)->fate, WriteResult::Fate::kApplied);
  EXPECT_EQ((*write)->applied.revision, Revision(1));
  EXPECT_NE(life.store.TakeView()->Find("k"), nullptr);
}

TEST(Replica, QueuedWritesShareOneSync) {
  CrashFileSystem files;
  NodeLife life(files, "cluster-1");
  life.RunAll();
  const uint64_t syncs = files.sync_count();
  const auto a = life.Set("a");
  const auto b = life.Set("b");
  const auto c = life.Set("c");
  life.RunAll();
  EXPECT_TRUE(a->has_value() && b->has_value() && c->has_value());
  EXPECT_EQ(files.sync_count(), syncs + 1);
}

// Goal: at the memory limit sets are refused and deletes work, and what they free lets sets in
// again.
TEST(Replica, RefusesSetsAtTheMemoryLimit) {
  CrashFileSystem files;
  uint64_t empty_bytes = 0;
  {
    NodeLife life(files, "cluster-1");
    life.RunAll();
    empty_bytes = life.store.memory_bytes();
  }
  NodeLife life(files, std::nullopt, empty_bytes + 1000);
  life.RunAll();
  std::vector<std::string> keys;
  while (keys.size() < 1000) {
    keys.push_back("key-" + std::to_string(keys.size()));
    const auto write = life.Set(keys.back());
    life.RunAll();
    ASSERT_TRUE(write->has_value());
    if ((*write)->fate == WriteResult::Fate::kApplied) continue;
    EXPECT_EQ((*write)->fate, WriteResult::Fate::kNotDone);
    EXPECT_EQ((*write)->reason.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_NE(MessageOf((*write)->reason).find("max-memory-bytes"), std::string_view::npos);
    keys.pop_back();
    break;
  }
  ASSERT_GT(keys.size(), 1u);
  ASSERT_LT(keys.size(), 100u);
  for (const std::string& key : keys) {
    std::optional<WriteResult> result;
    life.replica->Propose(store::DeleteCommand{key, {}},
                          [&result](const WriteResult& answer) { result = answer; });
    life.RunAll();
    ASSERT_TRUE(result.has_value());
    EXPECT_EQ(result->applied.deleted, 1u);
  }
  life.replica->Tick();
  const auto write = life.Set("again");
  life.RunAll();
  EXPECT_EQ((*write)->fate, WriteResult::Fate::kApplied);
}

TEST(Replica, RefusesMoreThanItsBound) {
  CrashFileSystem files;
  NodeLife life(files, "cluster-1");
  life.RunAll();
  for (int i = 0; i < 4; ++i) life.Set("k" + std::to_string(i));
  const auto refused = life.Set("one too many");
  ASSERT_TRUE(refused->has_value());
  EXPECT_EQ((*refused)->fate, WriteResult::Fate::kNotDone);
  EXPECT_EQ((*refused)->reason.code(), absl::StatusCode::kResourceExhausted);
  life.RunAll();
  const auto accepted = life.Set("now there is room");
  life.RunAll();
  EXPECT_EQ((*accepted)->fate, WriteResult::Fate::kApplied);
}

TEST(Replica, RestartKeepsWhatWasAnsweredAndBeginsANewTerm) {
  CrashFileSystem files;
  Term first_term;
  {
    NodeLife life(files, "cluster-1");
    life.RunAll();
    life.Set("k");
    life.RunAll();
    life.Set("k");
    life.RunAll();
    first_term = life.replica->status().term;
  }
  SeededRandom random(7);
  files.PowerLoss(random);
  NodeLife life(files, std::nullopt);
  life.RunAll();
  EXPECT_TRUE(life.serving);
  EXPECT_GT(life.replica->status().term, first_term);
  EXPECT_EQ(life.replica->cluster_id(), "cluster-1");
  const auto view = life.store.TakeView();
  ASSERT_NE(view->Find("k"), nullptr);
  EXPECT_EQ(view->Find("k")->version(), 2u);
  EXPECT_EQ(view->revision(), Revision(2));
}

TEST(Replica, EmptyLogWithoutBootstrapServesNothing) {
  CrashFileSystem files;
  NodeLife life(files, std::nullopt);
  life.RunAll();
  EXPECT_FALSE(life.serving);
  const auto write = life.Set("k");
  EXPECT_EQ((*write)->reason.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(MessageOf((*write)->reason), "no leader");
  EXPECT_TRUE(life.replica->CanReadNow({.linearizable = false}));
}

TEST(Replica, ReadsWaitForTheirRevisionOrTheirTime) {
  CrashFileSystem files;
  NodeLife life(files, "cluster-1");
  life.RunAll();
  const auto reached = life.Read({.linearizable = false, .min_revision = Revision(1)});
  const auto too_late = life.Read({.linearizable = false, .min_revision = Revision(9)});
  life.RunAll();
  EXPECT_FALSE(reached->has_value());
  life.Set("k");
  life.RunAll();
  ASSERT_TRUE(reached->has_value());
  EXPECT_TRUE((*reached)->ok());
  EXPECT_FALSE(too_late->has_value());
  life.clock.now = life.clock.now + std::chrono::seconds(5);
  life.replica->Tick();
  ASSERT_TRUE(too_late->has_value());
  EXPECT_EQ((*too_late)->code(), absl::StatusCode::kUnavailable);
}

TEST(Replica, FailedSyncStopsTheNodeAndLeavesOutcomesUnknown) {
  CrashFileSystem files;
  NodeLife life(files, "cluster-1");
  life.RunAll();
  files.SetFault([](CrashFileSystem::Operation operation, const std::string&) -> absl::Status {
    if (operation != CrashFileSystem::Operation::kSync) return absl::OkStatus();
    return absl::UnavailableError("input/output error");
  });
  const auto write = life.Set("k");
  life.RunAll();
  ASSERT_TRUE(write->has_value());
  EXPECT_EQ((*write)->fate, WriteResult::Fate::kUnknown);
  EXPECT_TRUE(life.fatal.has_value());
  EXPECT_FALSE(life.serving);
  EXPECT_EQ((*life.Set("later"))->fate, WriteResult::Fate::kNotDone);
}

// Goal:   a full disk refuses writes one by one, harms nothing, and ends by itself.
// Method: no file may grow; write until refused, read, restart on the full disk, give space.
TEST(Replica, FullDiskRefusesWritesAndRecoversByItself) {
  CrashFileSystem files;
  {
    NodeLife life(files, "cluster-1");
    life.RunAll();
    files.SetCapacity(files.used_bytes());
    const std::string big(4000, 'x');
    uint64_t applied = 0;
    while (true) {
      const auto write = life.Set(fmt::format("{}/{}", applied, big));
      life.RunAll();
      ASSERT_TRUE(write->has_value());
      if ((*write)->fate == WriteResult::Fate::kNotDone) {
        EXPECT_EQ((*write)->reason.code(), absl::StatusCode::kResourceExhausted);
        EXPECT_NE(MessageOf((*write)->reason).find("no space left"), std::string_view::npos)
            << (*write)->reason;
        break;
      }
      ++applied;
      ASSERT_LT(applied, 1000u);
    }
    EXPECT_GT(applied, 10u);
    EXPECT_FALSE(life.fatal.has_value());
    EXPECT_TRUE(life.replica->CanReadNow({}));
    EXPECT_EQ(life.store.revision(), Revision(applied));
  }
  files.Restart();
  NodeLife life(files, std::nullopt);
  life.RunAll();
  EXPECT_TRUE(life.serving);
  EXPECT_TRUE(life.replica->CanReadNow({}));
  const auto refused = life.Set("k" + std::string(4000, 'x'));
  life.RunAll();
  EXPECT_EQ((*refused)->fate, WriteResult::Fate::kNotDone);
  files.SetCapacity(std::nullopt);
  life.clock.now = life.clock.now + std::chrono::seconds(1);
  life.replica->Tick();
  life.RunAll();
  const auto accepted = life.Set("k");
  life.RunAll();
  EXPECT_EQ((*accepted)->fate, WriteResult::Fate::kApplied);
}

TEST(Replica, StopAcceptingRefusesNewWritesOnly) {
  CrashFileSystem files;
  NodeLife life(files, "cluster-1");
  life.RunAll();
  const auto before = life.Set("a");
  life.replica->StopAccepting();
  const auto after = life.Set("b");
  life.RunAll();
  EXPECT_EQ((*before)->fate, WriteResult::Fate::kApplied);
  EXPECT_EQ((*after)->fate, WriteResult::Fate::kNotDone);
}

}  // namespace
}  // namespace mokv::replica
