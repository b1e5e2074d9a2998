// The replica and those who use it, each on a thread of its own; what it proves is small without
// ThreadSanitizer.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "base/testing/thread_executor.h"
#include "replica/open_log.h"
#include "replica/replica.h"
#include "replica/testing/node_life.h"
#include "store/view.h"

namespace mokv::replica {
namespace {

class ReplicaThreads : public ::testing::Test {
 protected:
  ReplicaThreads() {
    directory = ::testing::TempDir() + "mokv-replica-thread-XXXXXX";
    MOKV_CHECK(mkdtemp(directory.data()) != nullptr);
    Replica::Callbacks callbacks;
    callbacks.on_serving_changed = [this](bool now) {
      if (now) serving.set_value();
    };
    callbacks.set_alarm = [](MonotonicTime) {};
    callbacks.on_fatal = [](const absl::Status& reason) { FAIL() << reason; };
    replica.emplace(Replica::Executors{replica_thread, background}, SystemClock(), random, machine,
                    Replica::Options{.name = "n", .instance_id = "d", .rpc_address = "n:1"},
                    std::move(callbacks));
    std::promise<void> started;
    replica_thread.Post([&] {
      auto opened = OpenLog(*replica, {.directory = directory},
                            {PosixFileSystem(), SystemClock(), log_thread, background, nullptr});
      ASSERT_TRUE(opened.ok()) << opened.status();
      log = *std::move(opened);
      ASSERT_TRUE(replica->Start(*log, peers, "cluster").ok());
      started.set_value();
    });
    started.get_future().wait();
    serving.get_future().wait();
  }

  ~ReplicaThreads() override {
    replica->StopAccepting();
    log_thread.Stop();
    background.Stop();
    replica_thread.Stop();
    log->Close();
    std::filesystem::remove_all(directory);
  }

  std::string directory;
  SeededRandom random{1};
  testing::NoPeers peers;
  machine::Machine machine;
  std::promise<void> serving;
  std::optional<Replica> replica;
  std::unique_ptr<wal::Log> log;
  ThreadExecutor log_thread;
  ThreadExecutor background;
  ThreadExecutor replica_thread;
};

// Goal:   a read that may look at once sees all that anybody has been told, on whichever thread;
//         what is shown of the replica can be asked for at any time.
// Method: writers on threads of their own note the newest revision that they were told; readers note
//         it, ask whether they may read, and look.
TEST_F(ReplicaThreads, ReadsSeeWhatWasToldToOthers) {
  constexpr int kWriters = 2;
  constexpr int kReaders = 2;
  constexpr int kWrites = 400;
  std::atomic<uint64_t> told{0};
  std::atomic<int> writing{kWriters};
  std::atomic<uint64_t> looked{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kWriters; ++i) {
    threads.emplace_back([&] {
      for (int write = 0; write < kWrites; ++write) {
        std::promise<Revision> done;
        replica->Propose({.command = store::Set{"k", fmt::to_string(write)},
                          .subject = "somebody",
                          .give_up_at = MonotonicTime::Max()},
                         [&](const WriteResult& result) {
                           EXPECT_EQ(result.fate, WriteResult::Fate::kApplied);
                           done.set_value(result.applied.revision);
                         });
        const uint64_t revision = done.get_future().get().value();
        for (uint64_t seen = told;
             seen < revision && !told.compare_exchange_weak(seen, revision);) {
        }
      }
      --writing;
    });
  }
  for (int i = 0; i < kReaders; ++i) {
    threads.emplace_back([&] {
      store::Reader reader(machine.store());
      while (writing > 0) {
        const Revision known(told.load());
        if (replica->CanReadNow({}) && known != Revision(0)) {
          const store::Item* item = reader.Find("k");
          ASSERT_NE(item, nullptr);
          ASSERT_GE(item->mod_revision(), known);
          reader.Leave();
          ++looked;
        }
        std::promise<absl::Status> ready;
        replica->WaitForRead({}, MonotonicTime::Max(),
                             [&](const absl::Status& status) { ready.set_value(status); });
        ASSERT_TRUE(ready.get_future().get().ok());
        ASSERT_GE(machine.revision(), known);
      }
    });
  }
  while (writing > 0) {
    ASSERT_EQ(replica->View().members.size(), 1u);
    ASSERT_TRUE(replica->report().serving);
    ASSERT_LE(replica->report().applied_index, replica->report().last_index);
    replica_thread.Post([this] { replica->Tick(); });
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(looked.load(), 0u);
  EXPECT_EQ(machine.revision(), Revision(kWriters * kWrites));
}

}  // namespace
}  // namespace mokv::replica
