// The small parts: when a peer counts as silent, and how round trips are counted.
#include <gtest/gtest.h>

#include "peer/context.h"
#include "peer/silence.h"
#include "peer/stats.h"

namespace mokv::peer {
namespace {

TEST(Silence, CountsIntervalsWithoutASign) {
  Silence silence;
  EXPECT_EQ(silence.Count(10, 5, false), 0);
  EXPECT_EQ(silence.Count(10, 6, false), 1);  // What we send shows nothing.
  EXPECT_EQ(silence.Count(10, 7, false), 2);
  EXPECT_EQ(silence.Count(11, 7, false), 0);
}

// Goal: a peer that is busy receiving one large value, and says nothing meanwhile, is not dead.
TEST(Silence, IsBrokenByAQueueThatMoves) {
  Silence silence;
  silence.Count(10, 5, true);
  EXPECT_EQ(silence.Count(10, 6, true), 0);
  EXPECT_EQ(silence.Count(10, 6, true), 1);
  EXPECT_EQ(silence.Count(10, 6, true), 2);
  EXPECT_EQ(silence.Count(10, 9, false), 0);  // The last of it left.
  EXPECT_EQ(silence.Count(10, 12, false), 1);
}

TEST(RoundTrips, AreSortedIntoBuckets) {
  RoundTrips trips;
  trips.Add(std::chrono::microseconds(50));
  trips.Add(std::chrono::microseconds(51));
  trips.Add(std::chrono::minutes(1));
  EXPECT_EQ(trips.counts.front(), 1u);
  EXPECT_EQ(trips.counts[1], 1u);
  EXPECT_EQ(trips.counts.back(), 1u);
  EXPECT_EQ(trips.count, 3u);
  EXPECT_EQ(trips.last, std::chrono::minutes(1));
  EXPECT_EQ(trips.sum, std::chrono::minutes(1) + std::chrono::microseconds(101));
  EXPECT_GT(trips.smoothed, std::chrono::seconds(7));
  EXPECT_LT(trips.smoothed, std::chrono::seconds(8));
}

TEST(LogLimit, LetsOneLineASecondPass) {
  LogLimit limit;
  MonotonicTime now{std::chrono::seconds(5)};
  EXPECT_TRUE(limit.Allows(now));
  EXPECT_FALSE(limit.Allows(now + std::chrono::milliseconds(999)));
  EXPECT_TRUE(limit.Allows(now + std::chrono::seconds(1)));
}

}  // namespace
}  // namespace mokv::peer
