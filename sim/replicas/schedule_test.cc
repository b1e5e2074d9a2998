// Whole replicas under thousands of random schedules. MOKV_REPLICA_SEED and MOKV_REPLICA_SCHEDULES
// say from which seed on, and how many.
#include "sim/replicas/schedule.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "base/logging.h"

namespace mokv::sim {
namespace {

constexpr int kSteps = 5000;
// Some twenty seconds; a sanitizer takes ten times as long.
#ifdef __SANITIZE_ADDRESS__
constexpr uint64_t kSchedules = 200;
#else
constexpr uint64_t kSchedules = 2000;
#endif

// A check of the product that fails ends the process: then this says at which seed.
std::array<char, 64> running{};

void OnAbort(int) {
  if (write(STDERR_FILENO, running.data(), std::char_traits<char>::length(running.data())) < 0) {
    return;
  }
}

ScheduleResult RunSeed(uint64_t seed) {
  SetLogLevel(LogLevel::kError);  // Torn batches and full disks are what this is about.
  running = {};
  fmt::format_to_n(running.data(), running.size() - 1, "stopped at MOKV_REPLICA_SEED={}\n", seed);
  std::signal(SIGABRT, OnAbort);
  ScheduleResult result = RunReplicaSchedule(seed, kSteps);
  std::signal(SIGABRT, SIG_DFL);
  EXPECT_EQ(result.violation, "") << "MOKV_REPLICA_SEED=" << seed << " MOKV_REPLICA_SCHEDULES=1";
  return result;
}

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// Whatever chance is to bring must come.
constexpr std::array kMustHappen = {"cuts",
                                    "changes asked for",
                                    "clock steps",
                                    "conditions that failed",
                                    "disk stalls",
                                    "disks wiped",
                                    "full disks",
                                    "connections closed",
                                    "kills",
                                    "leader changes",
                                    "links held",
                                    "operations",
                                    "pauses",
                                    "reads at once",
                                    "reads that failed",
                                    "reads that waited",
                                    "transfers asked for",
                                    "turns interrupted",
                                    "without an answer",
                                    "writes applied",
                                    "writes forwarded",
                                    "writes not done",
                                    "writes unknown",
                                    "stops in a write"};

TEST(ReplicaSchedule, WhatAnybodyWasToldIsSo) {
  const uint64_t first = FromEnvironment("MOKV_REPLICA_SEED", 1);
  const uint64_t count = FromEnvironment("MOKV_REPLICA_SCHEDULES", kSchedules);
  Counts counts;
  Duration simulated{0};
  uint64_t gave_up = 0;
  for (uint64_t seed = first; seed < first + count && !HasFailure(); ++seed) {
    const ScheduleResult result = RunSeed(seed);
    for (const auto& [what, times] : result.counts) counts[what] += times;
    simulated += result.simulated;
    gave_up += result.gave_up ? 1 : 0;
  }
  fmt::print("{} schedules from seed {}, {} simulated seconds, {} histories too hard to judge\n",
             count, first, std::chrono::duration_cast<std::chrono::seconds>(simulated).count(),
             gave_up);
  for (const auto& [what, times] : counts) fmt::print("{:>10} {}\n", times, what);
  EXPECT_LE(gave_up, 3 + count / 50);
  if (count < 100) return;
  for (const char* what : kMustHappen) EXPECT_GT(counts[what], 0u) << what;
}

// A learner that had come late was never promoted.
TEST(ReplicaSchedule, SeedsThatFailedOnceDoNotFail) {
  for (const uint64_t seed : {589}) RunSeed(seed);
}

TEST(ReplicaSchedule, TheSameSeedDoesTheSame) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    EXPECT_EQ(RunReplicaSchedule(seed, 800).fingerprint, RunReplicaSchedule(seed, 800).fingerprint);
  }
}

}  // namespace
}  // namespace mokv::sim
