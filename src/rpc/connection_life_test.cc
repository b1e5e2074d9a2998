#include "rpc/connection_life.h"

#include <gtest/gtest.h>

#include <set>

namespace mokv::rpc {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using Verdict = ConnectionLife::Verdict;

constexpr MonotonicTime At(int64_t s) { return MonotonicTime{seconds(s)}; }

ConnectionLife::Limits Limits(Duration idle_max, Duration age_max) {
  return {.idle_max = idle_max, .age_max = age_max, .notice = seconds(1), .grace = seconds(60)};
}

TEST(ConnectionLife, StaysForEverWithoutLimits) {
  ConnectionLife life(Limits(seconds(0), seconds(0)), At(0));
  for (int64_t s = 0; s < 1'000'000'000; s += 1'000'000) {
    ASSERT_EQ(life.Check(At(s), false), Verdict::kStay);
  }
}

TEST(ConnectionLife, EndsStepByStepOnceItIsIdle) {
  ConnectionLife life(Limits(seconds(100), seconds(0)), At(0));
  EXPECT_EQ(life.Check(At(99), false), Verdict::kStay);
  EXPECT_EQ(life.Check(At(100), false), Verdict::kAnnounce);
  EXPECT_EQ(life.Check(At(100), false), Verdict::kStay);
  EXPECT_EQ(life.Check(At(101), false), Verdict::kGoAway);
  EXPECT_EQ(life.Check(At(160), true), Verdict::kStay);
  EXPECT_EQ(life.Check(At(161), true), Verdict::kClose);
}

TEST(ConnectionLife, IsNotIdleWhileACallIsOpen) {
  ConnectionLife life(Limits(seconds(100), seconds(0)), At(0));
  for (int64_t s = 10; s <= 1'000; s += 10) EXPECT_EQ(life.Check(At(s), true), Verdict::kStay);
  EXPECT_EQ(life.Check(At(1'099), false), Verdict::kStay);
  EXPECT_EQ(life.Check(At(1'100), false), Verdict::kAnnounce);
}

// Goal: calls that begin and end between two looks count as well.
TEST(ConnectionLife, IsNotIdleBetweenShortCalls) {
  ConnectionLife life(Limits(seconds(100), seconds(0)), At(0));
  for (int64_t s = 10; s <= 1'000; s += 90) {
    life.OnCall();
    EXPECT_EQ(life.Check(At(s), false), Verdict::kStay) << s;
  }
}

TEST(ConnectionLife, EndsOfAgeHoweverBusyItIs) {
  ConnectionLife life(Limits(seconds(0), seconds(1'000)), At(5));
  for (int64_t s = 10; s < 1'005; s += 5) ASSERT_EQ(life.Check(At(s), true), Verdict::kStay);
  EXPECT_EQ(life.Check(At(1'005), true), Verdict::kAnnounce);
  EXPECT_EQ(life.Check(At(1'006), true), Verdict::kGoAway);
  EXPECT_EQ(life.Check(At(1'066), true), Verdict::kClose);
}

TEST(SpreadAge, IsATenthMoreOrLess) {
  std::set<Duration> ages;
  for (uint64_t number = 0; number < 100; ++number) {
    const Duration age = SpreadAge(hours(10), number);
    EXPECT_GE(age, hours(9));
    EXPECT_LE(age, hours(11));
    ages.insert(age);
  }
  // Evenly: with 100 of them no gap is three hundredths of the span.
  Duration previous = hours(9);
  for (const Duration age : ages) {
    EXPECT_LT(age - previous, std::chrono::minutes(120) * 3 / 100);
    previous = age;
  }
  EXPECT_EQ(SpreadAge(seconds(0), 7), seconds(0));
}

}  // namespace
}  // namespace mokv::rpc
