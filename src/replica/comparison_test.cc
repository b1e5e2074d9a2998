#include "replica/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mokv::replica {
namespace {

using ::testing::ElementsAre;
using Verdict = Comparison::Verdict;

constexpr Index kAt{2 * Comparison::kIntervalDefault};

raft::Membership Members(size_t voters, bool learner = false) {
  std::vector<raft::Member> members;
  for (size_t i = 1; i <= voters + (learner ? 1 : 0); ++i) {
    members.push_back({.id = raft::NodeId(i),
                       .name = fmt::format("n{}", i),
                       .instance_id = fmt::format("disk-{}", i),
                       .rpc_address = "h:1"});
  }
  return raft::Membership("cluster", std::move(members));
}

StateDigest State(uint64_t low, Index index = kAt) {
  return {.index = index, .format = Comparison::kFormat, .low = low, .high = 7};
}

class ComparisonTest : public ::testing::Test {
 protected:
  Comparison::Finding Own(uint64_t low) {
    return comparison_.OnOwn(State(low), members_, raft::NodeId(1));
  }
  Comparison::Finding Told(uint64_t from, uint64_t low) {
    return comparison_.OnTold(raft::NodeId(from), State(low), members_, raft::NodeId(1));
  }

  raft::Membership members_ = Members(3);
  Comparison comparison_;
};

TEST_F(ComparisonTest, IsOpenUntilAMajorityHasTold) {
  EXPECT_EQ(Own(1).verdict, Verdict::kOpen);
  EXPECT_EQ(Told(2, 1).verdict, Verdict::kEqual);
  EXPECT_EQ(Told(3, 1).verdict, Verdict::kEqual);
}

TEST_F(ComparisonTest, TheOrderDoesNotMatter) {
  EXPECT_EQ(Told(2, 1).verdict, Verdict::kOpen);
  EXPECT_EQ(Told(3, 1).verdict, Verdict::kOpen);
  EXPECT_EQ(Own(2).verdict, Verdict::kDiffers);
}

TEST_F(ComparisonTest, WhoIsAloneDiffers) {
  Own(1);
  EXPECT_EQ(Told(2, 2).verdict, Verdict::kOpen);
  EXPECT_EQ(Told(3, 2).verdict, Verdict::kDiffers);
}

TEST_F(ComparisonTest, WhoIsOfTheMajorityNamesTheOther) {
  Own(1);
  Told(2, 1);
  const Comparison::Finding finding = Told(3, 2);
  EXPECT_EQ(finding.verdict, Verdict::kOthers);
  EXPECT_THAT(finding.others, ElementsAre(raft::NodeId(3)));
}

TEST_F(ComparisonTest, WithoutAMajorityNobodyKnowsWhoIsRight) {
  Own(1);
  Told(2, 2);
  EXPECT_EQ(Told(3, 3).verdict, Verdict::kNobody);
  members_ = Members(2);
  Comparison two;
  two.OnOwn(State(1), members_, raft::NodeId(1));
  EXPECT_EQ(two.OnTold(raft::NodeId(2), State(2), members_, raft::NodeId(1)).verdict,
            Verdict::kNobody);
}

TEST_F(ComparisonTest, StrangersAndOtherFormatsSayNothing) {
  Own(1);
  EXPECT_EQ(Told(9, 2).verdict, Verdict::kOpen);
  StateDigest other = State(2);
  other.format = 2;
  EXPECT_EQ(comparison_.OnTold(raft::NodeId(2), other, members_, raft::NodeId(1)).verdict,
            Verdict::kOpen);
  EXPECT_EQ(
      comparison_.OnTold(raft::NodeId(2), State(2, Index(5)), members_, raft::NodeId(1)).verdict,
      Verdict::kOpen);
  EXPECT_EQ(Told(2, 1).verdict, Verdict::kEqual);
}

TEST_F(ComparisonTest, KeepsABoundedNumberOfIndexes) {
  for (uint64_t i = 1; i <= 1000; ++i) {
    const Index at(i * Comparison::kIntervalDefault);
    comparison_.OnTold(raft::NodeId(2), State(1, at), members_, raft::NodeId(1));
  }
  // The first ones are forgotten, the last ones are not.
  const Index first(Comparison::kIntervalDefault);
  const Index last(1000 * Comparison::kIntervalDefault);
  EXPECT_EQ(comparison_.OnOwn(State(1, first), members_, raft::NodeId(1)).verdict, Verdict::kOpen);
  EXPECT_EQ(comparison_.OnOwn(State(1, last), members_, raft::NodeId(1)).verdict, Verdict::kEqual);
}

}  // namespace
}  // namespace mokv::replica
