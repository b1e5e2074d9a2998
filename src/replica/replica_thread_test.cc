// The replica and those who use it, each on a thread of its own; what it proves is small without
// ThreadSanitizer.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "replica/testing/threaded_replica.h"
#include "store/view.h"

namespace mokv::replica {
namespace {

// Goal:   a read that may look at once sees all that anybody has been told, on whichever thread;
//         what is shown of the replica can be asked for at any time.
// Method: writers on threads of their own note the newest revision that they were told; readers note
//         it, ask whether they may read, and look.
TEST(ReplicaThreads, ReadsSeeWhatWasToldToOthers) {
  testing::ThreadedReplica node;
  Replica& replica = *node.replica;
  const machine::Machine& machine = node.machine;
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
        const WriteResult result = node.Write(store::Set{"k", fmt::to_string(write)});
        EXPECT_EQ(result.fate, WriteResult::Fate::kApplied);
        const uint64_t revision = result.applied.revision.value();
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
        if (replica.CanReadNow({}) && known != Revision(0)) {
          const store::Item* item = reader.Find("k");
          ASSERT_NE(item, nullptr);
          ASSERT_GE(item->mod_revision(), known);
          reader.Leave();
          ++looked;
        }
        std::promise<absl::Status> ready;
        replica.WaitForRead({}, MonotonicTime::Max(),
                            [&](const absl::Status& status) { ready.set_value(status); });
        ASSERT_TRUE(ready.get_future().get().ok());
        ASSERT_GE(machine.revision(), known);
      }
    });
  }
  while (writing > 0) {
    EXPECT_EQ(replica.View().members.size(), 1u);
    const Report report = replica.report();
    EXPECT_TRUE(report.serving);
    EXPECT_LE(report.applied_index, report.last_index);
    node.Tick();
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(looked.load(), 0u);
  EXPECT_EQ(machine.revision(), Revision(kWriters * kWrites));
}

}  // namespace
}  // namespace mokv::replica
