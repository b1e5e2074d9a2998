#include "rpc/flood_guard.h"

#include <gtest/gtest.h>

namespace mokv::rpc {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr MonotonicTime kStart{hours(1)};

int CountAllowed(FloodGuard& guard, MonotonicTime now, int tries) {
  int allowed = 0;
  for (int i = 0; i < tries; ++i) allowed += guard.Allows(now) ? 1 : 0;
  return allowed;
}

TEST(FloodGuard, AllowsABurst) {
  FloodGuard guard(10, 2, kStart);
  EXPECT_EQ(CountAllowed(guard, kStart + milliseconds(999), 10), 10);
  EXPECT_FALSE(guard.Allows(kStart + milliseconds(999)));
}

TEST(FloodGuard, AllowsForEverWhatComesSlowly) {
  FloodGuard guard(10, 2, kStart);
  for (int i = 0; i < 10'000; ++i) {
    EXPECT_EQ(CountAllowed(guard, kStart + i * milliseconds(1000), 2), 2) << i;
  }
}

TEST(FloodGuard, SavesUpNoMoreThanABurst) {
  FloodGuard guard(10, 2, kStart);
  EXPECT_EQ(CountAllowed(guard, kStart + hours(1'000'000), 10), 10);
  EXPECT_FALSE(guard.Allows(kStart + hours(1'000'000)));
}

TEST(FloodGuard, GivesBackNoMoreThanABurst) {
  FloodGuard guard(10, 2, kStart);
  EXPECT_EQ(CountAllowed(guard, kStart, 10), 10);
  guard.GiveBack(3);
  EXPECT_EQ(CountAllowed(guard, kStart, 3), 3);
  guard.GiveBack(1'000);
  EXPECT_EQ(CountAllowed(guard, kStart, 1'000), 10);
}

}  // namespace
}  // namespace mokv::rpc
