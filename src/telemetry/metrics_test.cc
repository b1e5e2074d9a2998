#include "telemetry/metrics.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <atomic>
#include <thread>

namespace mokv::telemetry {
namespace {

// What LatencyBucket must be, said plainly.
size_t SlowBucket(uint64_t ns) {
  size_t bucket = 0;
  while (bucket < kLatencyBoundsNs.size() && ns > kLatencyBoundsNs[bucket]) ++bucket;
  return bucket;
}

TEST(LatencyBucket, IsExactAroundEveryBoundAndPowerOfTwo) {
  for (const uint64_t bound : kLatencyBoundsNs) {
    for (const uint64_t ns : {bound - 1, bound, bound + 1}) {
      EXPECT_EQ(LatencyBucket(ns), SlowBucket(ns)) << ns;
    }
  }
  for (int bit = 0; bit < 64; ++bit) {
    const uint64_t power = uint64_t{1} << bit;
    for (const uint64_t ns : {power - 1, power, power + 1}) {
      EXPECT_EQ(LatencyBucket(ns), SlowBucket(ns)) << ns;
    }
  }
  EXPECT_EQ(LatencyBucket(0), 0U);
  EXPECT_EQ(LatencyBucket(UINT64_MAX), kLatencyBuckets - 1);
}

RC_GTEST_PROP(LatencyBucket, EqualsTheSearch, ()) {
  const uint64_t ns = *rc::gen::inRange<uint64_t>(0, 20'000'000'000);
  RC_ASSERT(LatencyBucket(ns) == SlowBucket(ns));
}

TEST(LatencyHistogram, CountsAndSums) {
  LatencyHistogram histogram;
  histogram.Record(std::chrono::microseconds(1));
  histogram.Record(std::chrono::microseconds(3));
  histogram.Record(std::chrono::seconds(60));
  histogram.Record(Duration(-5));  // A clock that was asked in the wrong order.
  const LatencySnapshot snapshot = histogram.Snapshot();
  EXPECT_EQ(snapshot.count(), 4U);
  EXPECT_EQ(snapshot.sum_ns, 60'000'004'000U);
  EXPECT_EQ(snapshot.counts[0], 2U);
  EXPECT_EQ(snapshot.counts[2], 1U);
  EXPECT_EQ(snapshot.counts[kLatencyBuckets - 1], 1U);
}

TEST(LatencySnapshot, MergeAddsUp) {
  LatencyHistogram first;
  LatencyHistogram second;
  first.Record(std::chrono::milliseconds(1));
  second.Record(std::chrono::milliseconds(1));
  second.Record(std::chrono::milliseconds(7));
  LatencySnapshot sum = first.Snapshot();
  sum.Merge(second.Snapshot());
  EXPECT_EQ(sum.count(), 3U);
  EXPECT_EQ(sum.sum_ns, 9'000'000U);
  EXPECT_EQ(sum.counts[LatencyBucket(1'000'000)], 2U);
}

TEST(Level, GoesUpAndDown) {
  Level level;
  level.Add(3);
  level.Add(-5);
  EXPECT_EQ(level.value(), -2);
  level.Set(7);
  EXPECT_EQ(level.value(), 7);
}

// Goal:   a scrape may read at any moment; counts never go back and nothing is lost.
// Method: one writer, readers beside it until it is done. Meant for ThreadSanitizer as well.
TEST(LatencyHistogram, ReadersBesideTheWriter) {
  constexpr uint64_t kRecords = 200'000;
  LatencyHistogram histogram;
  Counter counter;
  std::atomic<bool> done{false};
  const auto read = [&] {
    uint64_t last_count = 0;
    uint64_t last_counter = 0;
    while (!done.load()) {
      const uint64_t count = histogram.Snapshot().count();
      EXPECT_GE(count, last_count);
      last_count = count;
      EXPECT_GE(counter.value(), last_counter);
      last_counter = counter.value();
    }
  };
  std::thread first(read);
  std::thread second(read);
  for (uint64_t i = 0; i < kRecords; ++i) {
    histogram.Record(Duration(static_cast<int64_t>(i * 37)));
    counter.Add();
  }
  done = true;
  first.join();
  second.join();
  EXPECT_EQ(histogram.Snapshot().count(), kRecords);
  EXPECT_EQ(counter.value(), kRecords);
}

TEST(SharedCounter, LosesNothingAmongWriters) {
  constexpr int kEach = 50'000;
  SharedCounter counter;
  const auto write = [&counter] {
    for (int i = 0; i < kEach; ++i) counter.Add();
  };
  std::thread first(write);
  std::thread second(write);
  first.join();
  second.join();
  EXPECT_EQ(counter.value(), 2U * kEach);
}

}  // namespace
}  // namespace mokv::telemetry
