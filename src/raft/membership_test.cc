#include "raft/membership.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "raft/messages.h"

namespace mokv::raft {
namespace {

using Kind = MemberChange::Kind;

Member Named(const std::string& name, const std::string& instance = "disk") {
  return {.id = NodeIdOf(name, instance),
          .name = name,
          .instance_id = instance,
          .rpc_address = name + ":1"};
}

Membership Three() { return {"cluster", {Named("a"), Named("b"), Named("c")}}; }

absl::StatusCode CodeOf(const absl::StatusOr<Membership>& result) { return result.status().code(); }

TEST(Membership, IsKnownByNameAndDisk) {
  EXPECT_EQ(NodeIdOf("a", "1"), NodeIdOf("a", "1"));
  EXPECT_NE(NodeIdOf("a", "1"), NodeIdOf("a", "2"));
  EXPECT_NE(NodeIdOf("a", "1"), NodeIdOf("b", "1"));
}

TEST(Membership, AddsALearnerInOneStep) {
  const auto next = Three().Begin({{{Kind::kAddLearner, Named("d")}}});
  ASSERT_TRUE(next.ok());
  EXPECT_FALSE(next->joint());
  EXPECT_TRUE(next->IsLearner(Named("d").id));
  EXPECT_FALSE(next->IsVoter(Named("d").id));
}

TEST(Membership, ChangesVotersThroughAJointConfiguration) {
  const Membership with = *Three().Begin({{{Kind::kAddLearner, Named("d")}}});
  const auto joint = with.Begin(
      {{{Kind::kPromote, Named("d")}, {Kind::kRemove, Named("a")}, {Kind::kDemote, Named("b")}}});
  ASSERT_TRUE(joint.ok());
  EXPECT_TRUE(joint->joint());
  EXPECT_TRUE(joint->IsVoter(Named("a").id));
  EXPECT_FALSE(joint->IsIncomingVoter(Named("a").id));
  EXPECT_TRUE(joint->IsVoter(Named("b").id));
  EXPECT_EQ(CodeOf(joint->Begin({{{Kind::kRemove, Named("c")}}})),
            absl::StatusCode::kFailedPrecondition);
  const Membership after = joint->LeaveJoint();
  EXPECT_FALSE(after.Contains(Named("a").id));
  EXPECT_TRUE(after.IsLearner(Named("b").id));
  EXPECT_TRUE(after.IsVoter(Named("c").id));
  EXPECT_TRUE(after.IsVoter(Named("d").id));
}

TEST(Membership, RefusesWhatMakesNoSense) {
  const Membership three = Three();
  EXPECT_EQ(CodeOf(three.Begin({})), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(three.Begin({{{Kind::kRemove, Named("x")}}})), absl::StatusCode::kNotFound);
  EXPECT_EQ(CodeOf(three.Begin({{{Kind::kPromote, Named("a")}}})),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(CodeOf(three.Begin({{{Kind::kAddLearner, Named("a")}}})),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(CodeOf(three.Begin({{{Kind::kRemove, Named("a")}, {Kind::kDemote, Named("a")}}})),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(three.Begin({{{Kind::kRemove, Named("a")},
                                 {Kind::kRemove, Named("b")},
                                 {Kind::kRemove, Named("c")}}})),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(CodeOf(three.Begin({{{Kind::kAddLearner, Member{}}}})),
            absl::StatusCode::kInvalidArgument);
}

// A wiped node under its old name has to wait until the old one has been removed.
TEST(Membership, RefusesASecondDiskOfTheSameName) {
  const Membership three = Three();
  EXPECT_EQ(CodeOf(three.Begin({{{Kind::kAddLearner, Named("a", "new")}}})),
            absl::StatusCode::kAlreadyExists);
  const Membership without = three.Begin({{{Kind::kRemove, Named("a")}}})->LeaveJoint();
  EXPECT_TRUE(without.Begin({{{Kind::kAddLearner, Named("a", "new")}}}).ok());
}

TEST(Membership, UpdatesAnAddressInOneStep) {
  Member moved = Named("b");
  moved.rpc_address = "elsewhere:2";
  moved.priority = 7;
  const auto next = Three().Begin({{{Kind::kUpdate, moved}}});
  ASSERT_TRUE(next.ok());
  EXPECT_FALSE(next->joint());
  EXPECT_EQ(next->Find(moved.id)->rpc_address, "elsewhere:2");
  EXPECT_EQ(next->Find(moved.id)->priority, 7U);
}

TEST(Membership, DecodesOnlyWhatHoldsTogether) {
  EXPECT_FALSE(Membership::Decode("\xff\xff").ok());
  EXPECT_FALSE(Membership::Decode("").ok());  // Nobody votes.
  std::string twice = Three().Encode();
  EXPECT_FALSE(Membership::Decode(twice + twice).ok());  // Everybody is named twice.
}

// Any sequence of changes keeps the invariant, and every configuration on the way survives being
// written and read.
RC_GTEST_PROP(Membership, SurvivesChangesAndEncoding, ()) {
  Membership now = Three();
  const auto picks = *rc::gen::container<std::vector<std::pair<int, int>>>(
      rc::gen::pair(rc::gen::inRange(0, 5), rc::gen::inRange(0, 6)));
  for (const auto& [kind, who] : picks) {
    Member member = Named(std::string(1, static_cast<char>('a' + who)));
    member.priority = static_cast<uint32_t>(who);
    member.promote_when_caught_up = who % 2 == 0;
    const auto next = now.Begin({{{static_cast<Kind>(kind), member}}});
    if (!next.ok()) continue;
    const auto read = Membership::Decode(next->Encode());
    RC_ASSERT(read.ok());
    RC_ASSERT(*read == *next);
    now = next->joint() ? next->LeaveJoint() : *next;
    RC_ASSERT(*Membership::Decode(now.Encode()) == now);
  }
}

// Goal: a node that an operator removed is told from one that was never there, until it is added.
TEST(Membership, RemembersWhoWasRemovedForGood) {
  const auto member = [](uint64_t id) {
    return Member{.id = NodeId(id), .name = fmt::format("n{}", id), .instance_id = "disk"};
  };
  const Membership three("c", {member(1), member(2), member(3)});
  const auto one =
      three.Begin({{{.kind = MemberChange::Kind::kRemove, .member = member(2), .for_good = true},
                    {.kind = MemberChange::Kind::kRemove, .member = member(3)}}});
  ASSERT_TRUE(one.ok()) << one.status();
  const auto decoded = Membership::Decode(one->LeaveJoint().Encode());
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_TRUE(decoded->WasRemoved(NodeId(2)));
  EXPECT_FALSE(decoded->WasRemoved(NodeId(3)));
  EXPECT_EQ(*decoded, one->LeaveJoint());
  const auto again =
      decoded->Begin({{{.kind = MemberChange::Kind::kAddLearner, .member = member(2)}}});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(again->WasRemoved(NodeId(2)));
}

}  // namespace
}  // namespace mokv::raft
