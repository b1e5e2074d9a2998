#include "load/keys.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace mokv::load {
namespace {

constexpr uint64_t kSeed = 42;

TEST(KeyChooser, UniformKeysCoverTheSpaceEvenly) {
  LoadOptions options;
  options.keys = 100;
  KeyChooser chooser(options, nullptr, kSeed);
  std::vector<int> counts(options.keys);
  for (int i = 0; i < 100'000; ++i) ++counts.at(chooser.NextKey());
  const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
  EXPECT_GT(*least, 800) << "seed " << kSeed;
  EXPECT_LT(*most, 1200) << "seed " << kSeed;
}

TEST(KeyChooser, MixFollowsTheShareOfReads) {
  for (const uint32_t percent : {0u, 30u, 100u}) {
    LoadOptions options;
    options.reads_percent = percent;
    KeyChooser chooser(options, nullptr, kSeed);
    uint32_t reads = 0;
    for (int i = 0; i < 10'000; ++i) reads += chooser.NextKind() == OpKind::kRead ? 1 : 0;
    EXPECT_NEAR(reads, percent * 100.0, 200) << "seed " << kSeed;
  }
}

TEST(KeyChooser, TargetsWithoutKeysAreOnlyRead) {
  LoadOptions options;
  options.target = Target::kEmpty;
  options.reads_percent = 0;
  KeyChooser chooser(options, nullptr, kSeed);
  EXPECT_EQ(chooser.NextKind(), OpKind::kRead);
}

// The most popular rank has the share 1/zeta(n), and every rank can come.
TEST(ZipfTable, FollowsTheDistribution) {
  constexpr uint64_t kKeys = 1000;
  constexpr int kDraws = 200'000;
  const ZipfTable table(kKeys, 0.99);
  double zeta = 0;
  for (uint64_t i = 1; i <= kKeys; ++i) zeta += std::pow(static_cast<double>(i), -0.99);
  std::vector<int> counts(kKeys);
  for (int i = 0; i < kDraws; ++i) ++counts.at(table.Rank((i + 0.5) / kDraws));
  EXPECT_NEAR(counts[0], kDraws / zeta, 2);
  EXPECT_NEAR(counts[1], kDraws / zeta / std::pow(2, 0.99), 2);
  EXPECT_GT(counts[10], counts[100]);
  EXPECT_GT(counts[100], counts[999]);
  EXPECT_EQ(table.Rank(0), 0u);
  EXPECT_LT(table.Rank(0x1.fffffffffffffp-1), kKeys);
}

TEST(ZipfTable, WorksForOneAndTwoKeys) {
  EXPECT_EQ(ZipfTable(1, 0.99).Rank(0.999), 0u);
  EXPECT_EQ(ZipfTable(2, 0.99).Rank(0.999), 1u);
  EXPECT_EQ(ZipfTable(2, 0.99).Rank(0.001), 0u);
}

TEST(KeyChooser, ZipfKeysStayInTheSpace) {
  LoadOptions options;
  options.keys = 10;
  options.distribution = KeyDistribution::kZipf;
  KeyChooser chooser(options, std::make_shared<ZipfTable>(10, 0.5), kSeed);
  for (int i = 0; i < 10'000; ++i) ASSERT_LT(chooser.NextKey(), 10u) << "seed " << kSeed;
}

}  // namespace
}  // namespace mokv::load
