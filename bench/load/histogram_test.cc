#include "load/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"

namespace mokv::load {
namespace {

TEST(Histogram, IsEmptyAtFirst) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.Percentile(0.5), 0u);
  EXPECT_EQ(histogram.Mean(), 0);
}

TEST(Histogram, IsExactForSmallValues) {
  Histogram histogram;
  for (uint64_t value = 1; value <= 100; ++value) histogram.Record(value);
  EXPECT_EQ(histogram.Percentile(0), 1u);
  EXPECT_EQ(histogram.Percentile(0.5), 50u);
  EXPECT_EQ(histogram.Percentile(0.99), 99u);
  EXPECT_EQ(histogram.Percentile(1), 100u);
  EXPECT_DOUBLE_EQ(histogram.Mean(), 50.5);
}

TEST(Histogram, NeverReportsMoreThanTheMaximum) {
  Histogram histogram;
  histogram.Record(1'000'001);
  EXPECT_EQ(histogram.Percentile(0.5), 1'000'001u);
  EXPECT_EQ(histogram.max(), 1'000'001u);
}

TEST(Histogram, KeepsValuesBeyondItsRange) {
  Histogram histogram;
  histogram.Record(UINT64_MAX);
  EXPECT_EQ(histogram.count(), 1u);
  EXPECT_EQ(histogram.max(), UINT64_MAX);
  EXPECT_EQ(histogram.Percentile(1), Histogram::kValueMax);
}

// Method: values of all magnitudes; the sorted list is the truth.
TEST(Histogram, PercentilesAreWithinOnePercent) {
  constexpr uint64_t kSeed = 7;
  SCOPED_TRACE(kSeed);
  SeededRandom random(kSeed);
  Histogram histogram;
  std::vector<uint64_t> values;
  for (int i = 0; i < 20'000; ++i) {
    values.push_back(random.Next() >> (24 + random.Next() % 40));
    histogram.Record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double fraction : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999}) {
    const auto rank = static_cast<size_t>(std::ceil(fraction * static_cast<double>(values.size())));
    const auto exact = static_cast<double>(values[rank - 1]);
    const auto found = static_cast<double>(histogram.Percentile(fraction));
    EXPECT_GE(found, exact) << fraction;
    EXPECT_LE(found, exact * 1.01) << fraction;
  }
}

TEST(Histogram, MergeIsLikeRecordingInOne) {
  Histogram one, two, both;
  for (uint64_t value = 0; value < 5000; ++value) {
    (value % 3 == 0 ? one : two).Record(value * value);
    both.Record(value * value);
  }
  one.Merge(two);
  EXPECT_EQ(one.count(), both.count());
  EXPECT_EQ(one.max(), both.max());
  EXPECT_EQ(one.Mean(), both.Mean());
  for (const double fraction : {0.1, 0.5, 0.99}) {
    EXPECT_EQ(one.Percentile(fraction), both.Percentile(fraction));
  }
}

}  // namespace
}  // namespace mokv::load
