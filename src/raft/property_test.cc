// Random schedules keep the invariants. MOKV_RAFT_SCHEDULES says how many to run, MOKV_RAFT_SEED
// which one to begin with; a failure prints the seed that repeats it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "raft/testing/schedule.h"

namespace mokv::raft::testing {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kSchedules = 400;
#else
constexpr uint64_t kSchedules = 6000;
#endif
constexpr int kSteps = 600;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(RandomSchedules, KeepTheInvariantsAndRecover) {
  const uint64_t first = FromEnvironment("MOKV_RAFT_SEED", 1);
  const uint64_t count = FromEnvironment("MOKV_RAFT_SCHEDULES", kSchedules);
  Stats seen;
  uint64_t committed = 0;
  uint64_t reads = 0;
  uint64_t changes = 0;
  uint64_t crashes = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    const ScheduleResult result = RunSchedule(seed, kSteps);
    ASSERT_EQ(result.violation, "") << "MOKV_RAFT_SEED=" << seed << " MOKV_RAFT_SCHEDULES=1";
    seen.leaderships += result.stats.leaderships;
    seen.elections += result.stats.elections;
    seen.quorum_lost += result.stats.quorum_lost;
    seen.disk_stalls += result.stats.disk_stalls;
    seen.read_rounds += result.stats.read_rounds;
    seen.lease_reads += result.stats.lease_reads;
    seen.proposals_refused += result.stats.proposals_refused;
    seen.appends_rejected += result.stats.appends_rejected;
    seen.snapshots_installed += result.stats.snapshots_installed;
    seen.misaddressed += result.stats.misaddressed;
    seen.malformed += result.stats.malformed;
    committed += result.committed;
    reads += result.reads;
    changes += result.changes;
    crashes += result.crashes;
  }
  fmt::print(
      "seeds {} to {}: {} entries committed, {} reads, {} membership changes, {} crashes, {} of {} "
      "elections won, {} quorums lost, {} disks stalled, {} conflicts, {} read rounds, {} lease "
      "reads, {} proposals refused, {} snapshots installed, {} messages to a former life\n",
      first, first + count - 1, committed, reads, changes, crashes, seen.leaderships,
      seen.elections, seen.quorum_lost, seen.disk_stalls, seen.appends_rejected, seen.read_rounds,
      seen.lease_reads, seen.proposals_refused, seen.snapshots_installed, seen.misaddressed);
  EXPECT_EQ(seen.malformed, 0U);
  if (count < 100) return;  // Too few to have met everything.
  for (const uint64_t met :
       {seen.quorum_lost, seen.disk_stalls, seen.appends_rejected, seen.read_rounds,
        seen.lease_reads, seen.proposals_refused, seen.snapshots_installed, seen.misaddressed}) {
    EXPECT_GT(met, 0U);
  }
}

TEST(RandomSchedules, AreTheSameForTheSameSeed) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const ScheduleResult one = RunSchedule(seed, kSteps);
    const ScheduleResult two = RunSchedule(seed, kSteps);
    EXPECT_EQ(one.committed, two.committed) << seed;
    EXPECT_EQ(one.stats.elections, two.stats.elections) << seed;
    EXPECT_EQ(one.stats.read_rounds, two.stats.read_rounds) << seed;
  }
}

}  // namespace
}  // namespace mokv::raft::testing
