#include "load/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace mokv::load {
namespace {

constexpr uint64_t kBegin = 5'000'000'000;

std::vector<uint64_t> Take(Schedule schedule, size_t count) {
  std::vector<uint64_t> due;
  for (size_t i = 0; i < count; ++i) {
    due.push_back(schedule.next_ns() - kBegin);
    schedule.Advance();
  }
  return due;
}

TEST(Schedule, EvenArrivalsKeepTheRateWithoutDrift) {
  // A gap that is no whole number of nanoseconds.
  const std::vector<uint64_t> due = Take({Arrivals::kEven, 3, kBegin, 0, 1, 1}, 3'000'001);
  EXPECT_EQ(due[0], 0u);
  EXPECT_EQ(due[1], 333'333'333u);
  EXPECT_EQ(due[2], 666'666'666u);
  EXPECT_NEAR(static_cast<double>(due[3'000'000]), 1e15, 1);
}

TEST(Schedule, SharesOfEvenArrivalsTogetherAreTheWhole) {
  std::vector<uint64_t> together;
  for (uint32_t i = 0; i < 4; ++i) {
    const std::vector<uint64_t> share = Take({Arrivals::kEven, 1000, kBegin, i, 4, 1}, 100);
    together.insert(together.end(), share.begin(), share.end());
  }
  std::sort(together.begin(), together.end());
  EXPECT_EQ(together, Take({Arrivals::kEven, 1000, kBegin, 0, 1, 1}, 400));
}

TEST(Schedule, ACallStaysDueUntilItIsTaken) {
  Schedule schedule(Arrivals::kEven, 1000, kBegin, 0, 1, 1);
  schedule.Advance();
  const uint64_t due = schedule.next_ns();
  EXPECT_EQ(due, kBegin + 1'000'000);
  EXPECT_EQ(schedule.next_ns(), due);
}

TEST(Schedule, RandomArrivalsHaveTheRateAndTheSpreadOfExponentialGaps) {
  constexpr size_t kCount = 200'000;
  constexpr double kGap = 1e6;  // A thousand a second, of two thousand in two shares.
  const std::vector<uint64_t> due = Take({Arrivals::kRandom, 2000, kBegin, 1, 2, 7}, kCount);
  EXPECT_TRUE(std::is_sorted(due.begin(), due.end()));
  EXPECT_NEAR(static_cast<double>(due.back()) / kCount, kGap, 0.02 * kGap);
  size_t long_gaps = 0;
  for (size_t i = 1; i < kCount; ++i) {
    if (static_cast<double>(due[i] - due[i - 1]) > 2 * kGap) ++long_gaps;
  }
  EXPECT_NEAR(static_cast<double>(long_gaps) / kCount, 0.1353, 0.005);  // e^-2
}

TEST(Schedule, ASeedRepeatsRandomArrivals) {
  EXPECT_EQ(Take({Arrivals::kRandom, 100, kBegin, 0, 1, 7}, 100),
            Take({Arrivals::kRandom, 100, kBegin, 0, 1, 7}, 100));
  EXPECT_NE(Take({Arrivals::kRandom, 100, kBegin, 0, 1, 7}, 100),
            Take({Arrivals::kRandom, 100, kBegin, 0, 1, 8}, 100));
}

}  // namespace
}  // namespace mokv::load
