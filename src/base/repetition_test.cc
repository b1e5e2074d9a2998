#include "base/repetition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mokv {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr MonotonicTime kStart{std::chrono::hours(1)};

TEST(Repetition, ShowsTheFirstFewAndCountsTheRest) {
  Repetition lines;
  uint64_t shown = 0;
  for (int i = 0; i < 300'000; ++i) shown += lines.Admit("denied", kStart) ? 1 : 0;
  EXPECT_EQ(shown, Repetition::kShownMax);
  EXPECT_THAT(lines.Take(kStart), IsEmpty()) << "the second is not over";
  const auto taken = lines.Take(kStart + Repetition::kPeriod);
  ASSERT_THAT(taken, SizeIs(1));
  EXPECT_EQ(taken[0].kind, "denied");
  EXPECT_EQ(taken[0].count, 300'000 - Repetition::kShownMax);
}

TEST(Repetition, BeginsAnewOnceTheSecondIsOverAndTold) {
  Repetition lines;
  for (int i = 0; i < 100; ++i) lines.Admit("denied", kStart);
  const MonotonicTime later = kStart + Repetition::kPeriod;
  EXPECT_FALSE(lines.Admit("denied", later)) << "its count has not been told yet";
  ASSERT_THAT(lines.Take(later), SizeIs(1));
  EXPECT_TRUE(lines.Admit("denied", later));
  EXPECT_THAT(lines.Take(later + Repetition::kPeriod), IsEmpty());
}

TEST(Repetition, NeverSuppressesWhatComesSlowly) {
  Repetition lines;
  for (int second = 0; second < 100; ++second) {
    const MonotonicTime now = kStart + second * Repetition::kPeriod;
    for (uint64_t i = 0; i < Repetition::kShownMax; ++i) EXPECT_TRUE(lines.Admit("slow", now));
  }
}

TEST(Repetition, KeepsKindsApart) {
  Repetition lines;
  for (int i = 0; i < 100; ++i) lines.Admit("denied", kStart);
  EXPECT_TRUE(lines.Admit("malformed", kStart));
}

TEST(Repetition, RemembersABoundedNumberOfKinds) {
  Repetition lines;
  uint64_t shown = 0;
  for (int i = 0; i < 100'000; ++i) shown += lines.Admit(std::to_string(i), kStart) ? 1 : 0;
  EXPECT_EQ(shown, Repetition::kKindsMax + Repetition::kShownMax);
  const auto taken = lines.Take(kStart, /*all=*/true);
  ASSERT_THAT(taken, SizeIs(1));
  EXPECT_EQ(taken[0].kind, Repetition::kOtherKind);
  EXPECT_EQ(taken[0].count, 100'000 - shown);
}

}  // namespace
}  // namespace mokv
