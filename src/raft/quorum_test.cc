#include "raft/quorum.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

namespace mokv::raft {
namespace {

Member Named(uint64_t id) {
  return {.id = NodeId(id), .name = std::to_string(id), .instance_id = "disk"};
}

Membership Joint() {
  const Membership old("c", {Named(1), Named(2), Named(3)}, {Named(4), Named(5)});
  return *old.Begin({{{.kind = MemberChange::Kind::kPromote, .member = Named(4)},
                      {.kind = MemberChange::Kind::kPromote, .member = Named(5)}}});
}

TEST(Quorum, MajorityIsMoreThanHalf) {
  EXPECT_EQ(MajorityOf(1), 1U);
  EXPECT_EQ(MajorityOf(2), 2U);
  EXPECT_EQ(MajorityOf(3), 2U);
  EXPECT_EQ(MajorityOf(4), 3U);
  EXPECT_EQ(MajorityOf(5), 3U);
}

TEST(Quorum, ReachesWhatAMajorityHas) {
  const std::map<NodeId, Index> match = {
      {NodeId(1), Index(9)}, {NodeId(2), Index(4)}, {NodeId(3), Index(7)}, {NodeId(4), Index(1)}};
  const auto of = [&](NodeId id) { return match.at(id); };
  EXPECT_EQ(ReachedByMajority({NodeId(1)}, of), Index(9));
  EXPECT_EQ(ReachedByMajority({NodeId(1), NodeId(2)}, of), Index(4));
  EXPECT_EQ(ReachedByMajority({NodeId(1), NodeId(2), NodeId(3)}, of), Index(7));
  EXPECT_EQ(ReachedByMajority({NodeId(1), NodeId(2), NodeId(3), NodeId(4)}, of), Index(4));
}

// Any majority that has reached an index shares a node with any that has not: by counting.
RC_GTEST_PROP(Quorum, IsReachedByAMajorityAndNothingGreaterIs, ()) {
  const auto values = *rc::gen::nonEmpty(rc::gen::arbitrary<std::vector<uint8_t>>());
  Membership::Ids ids;
  for (size_t i = 0; i < values.size(); ++i) ids.push_back(NodeId(i + 1));
  const auto of = [&](NodeId id) { return Index(values[id.value() - 1]); };
  const Index reached = ReachedByMajority(ids, of);
  size_t have = 0;
  size_t have_more = 0;
  for (const NodeId id : ids) {
    have += of(id) >= reached ? 1 : 0;
    have_more += of(id) > reached ? 1 : 0;
  }
  RC_ASSERT(have >= MajorityOf(ids.size()));
  RC_ASSERT(have_more < MajorityOf(ids.size()));
}

TEST(Quorum, OfAJointConfigurationNeedsBothMajorities) {
  const Membership joint = Joint();
  const auto of = [](NodeId id) {
    return id == NodeId(1) || id >= NodeId(4) ? Index(8) : Index(2);
  };
  EXPECT_EQ(ReachedByMajority(joint.voters(), of), Index(8));
  EXPECT_EQ(ReachedByQuorum(joint, of), Index(2));
}

TEST(Quorum, ElectionIsWonLostOrOpen) {
  const Membership::Ids three = {NodeId(1), NodeId(2), NodeId(3)};
  std::map<NodeId, int> votes;
  const auto of = [&](NodeId id) { return votes[id]; };
  EXPECT_EQ(MajorityResult(three, of), VoteResult::kPending);
  votes[NodeId(1)] = 1;
  votes[NodeId(2)] = -1;
  EXPECT_EQ(MajorityResult(three, of), VoteResult::kPending);
  votes[NodeId(3)] = 1;
  EXPECT_EQ(MajorityResult(three, of), VoteResult::kWon);
  votes[NodeId(3)] = -1;
  EXPECT_EQ(MajorityResult(three, of), VoteResult::kLost);
}

TEST(Quorum, JointElectionIsLostInEitherHalf) {
  const Membership joint = Joint();
  std::map<NodeId, int> votes = {{NodeId(1), 1}, {NodeId(4), 1}, {NodeId(5), 1}};
  const auto of = [&](NodeId id) { return votes[id]; };
  EXPECT_EQ(QuorumResult(joint, of), VoteResult::kPending);
  votes[NodeId(2)] = -1;
  votes[NodeId(3)] = -1;
  EXPECT_EQ(QuorumResult(joint, of), VoteResult::kLost);
  votes[NodeId(3)] = 1;
  EXPECT_EQ(QuorumResult(joint, of), VoteResult::kWon);
}

}  // namespace
}  // namespace mokv::raft
