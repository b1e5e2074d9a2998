#include "rpc/backoff.h"

#include <gtest/gtest.h>

#include <set>

namespace mokv::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kSeed = 7;

TEST(Backoff, GrowsFromOneSecondToTwoMinutes) {
  BackoffOptions options;
  options.jitter = 0;
  Backoff backoff(options, kSeed);
  EXPECT_EQ(backoff.Next(), seconds(1));
  EXPECT_EQ(backoff.Next(), milliseconds(1600));
  EXPECT_EQ(backoff.Next(), milliseconds(2560));
  for (int i = 0; i < 100; ++i) backoff.Next();
  EXPECT_EQ(backoff.Next(), seconds(120));
}

TEST(Backoff, BeginsAnewAfterASuccess) {
  Backoff backoff({}, kSeed);
  for (int i = 0; i < 10; ++i) backoff.Next();
  backoff.Reset();
  EXPECT_EQ(backoff.Next(), seconds(1));
}

// Goal: clients that have lost their server at the same moment do not come back at the same moment.
TEST(Backoff, SpreadsClientsByAFifth) {
  std::set<Duration> waits;
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    Backoff backoff({}, seed);
    backoff.Next();
    waits.insert(backoff.Next());
  }
  EXPECT_GT(waits.size(), 900u);
  EXPECT_GE(*waits.begin(), milliseconds(1280));
  EXPECT_LT(*waits.begin(), milliseconds(1300));
  EXPECT_GT(*waits.rbegin(), milliseconds(1900));
  EXPECT_LE(*waits.rbegin(), milliseconds(1920));
}

TEST(Backoff, TheSameSeedGivesTheSameWaits) {
  Backoff first({}, kSeed);
  Backoff second({}, kSeed);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(first.Next(), second.Next());
}

}  // namespace
}  // namespace mokv::rpc
