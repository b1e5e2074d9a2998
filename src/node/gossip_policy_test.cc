#include "node/gossip_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mokv {
namespace {

using serf::MemberStatus;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

// Node n1, which leads n1 and n2; both gossip.
class GossipPolicyTest : public testing::Test {
 protected:
  GossipPolicyTest() {
    known.cluster.cluster_id = "c";
    known.leads = true;
    for (const char* name : {"n1", "n2"}) {
      members.push_back(Node(name));
      known.cluster.members.push_back({.name = name,
                                       .instance_id = std::string("disk-") + name,
                                       .rpc_address = std::string(name) + ":8400",
                                       .is_voter = true});
      known.alive[name] = true;
    }
  }
  static serf::Member Node(const std::string& name) {
    return {.name = name,
            .tags = {{"role", "mokv"},
                     {"rpc_addr", name + ":8400"},
                     {"cluster", "c"},
                     {"instance", "disk-" + name}},
            .status = MemberStatus::kAlive};
  }
  GossipPolicy::Decision Look() { return policy.Look(now, members, known); }
  // As above, a second later.
  GossipPolicy::Decision LookLater() {
    now = now + seconds(1);
    return Look();
  }
  std::vector<std::string> Requested() {
    std::vector<std::string> names;
    for (const replica::AdminRequest& request : LookLater().requests) names.push_back(request.name);
    return names;
  }

  GossipPolicy policy{{.reconciler = {.own_name = "n1"}, .has_join_addrs = true}};
  MonotonicTime now{std::chrono::hours(1)};
  std::vector<serf::Member> members;
  GossipPolicy::Known known;
};

TEST_F(GossipPolicyTest, ReadsTheTagsOfOurNodes) {
  members.push_back(Node("n3"));
  members.back().tags = {{"role", "mokv"}};  // One without the others, from an older time.
  Look();
  EXPECT_THAT(
      policy.nodes(),
      ElementsAre(
          GossipNode{
              .name = "n1", .rpc_address = "n1:8400", .cluster_id = "c", .instance_id = "disk-n1"},
          GossipNode{
              .name = "n2", .rpc_address = "n2:8400", .cluster_id = "c", .instance_id = "disk-n2"},
          GossipNode{.name = "n3"}));
}

TEST_F(GossipPolicyTest, LeavesPlainAgentsAlone) {
  Look();
  members.push_back({.name = "agent", .tags = {{"role", "web"}}, .status = MemberStatus::kAlive});
  members.push_back({.name = "bare", .status = MemberStatus::kAlive});
  const GossipPolicy::Decision decision = LookLater();
  EXPECT_FALSE(decision.nodes_changed);
  EXPECT_THAT(decision.requests, IsEmpty());
  EXPECT_EQ(policy.nodes().size(), 2u);
}

TEST_F(GossipPolicyTest, TellsWhenANodeHasChanged) {
  EXPECT_TRUE(Look().nodes_changed);
  EXPECT_FALSE(LookLater().nodes_changed);
  // A tag that says something else about a node, and one that does not matter.
  members[1].tags["version"] = "2";
  EXPECT_FALSE(LookLater().nodes_changed);
  members[1].tags["rpc_addr"] = "elsewhere:8400";
  EXPECT_TRUE(LookLater().nodes_changed);
  // A leaving node is still there; only then it is not.
  members[1].status = MemberStatus::kLeaving;
  EXPECT_FALSE(LookLater().nodes_changed);
  members[1].status = MemberStatus::kLeft;
  EXPECT_TRUE(LookLater().nodes_changed);
  EXPECT_EQ(policy.nodes()[1].state, GossipNode::State::kLeft);
  members[1].status = MemberStatus::kFailed;
  EXPECT_TRUE(LookLater().nodes_changed);
  members.pop_back();
  EXPECT_TRUE(LookLater().nodes_changed);
}

TEST_F(GossipPolicyTest, ReportsLivingNodesOfAnotherCluster) {
  members.push_back(Node("other"));
  members.back().tags["cluster"] = "d";
  members.push_back(Node("dead"));
  members.back().tags["cluster"] = "d";
  members.back().status = MemberStatus::kFailed;
  members.push_back(Node("young"));  // Of no cluster yet.
  members.back().tags.erase("cluster");
  const auto foreign = Look().foreign;
  ASSERT_EQ(foreign.size(), 1u);
  EXPECT_EQ(foreign[0].name, "other");
  // A node that is of no cluster itself has nothing to compare with.
  known.cluster.cluster_id.clear();
  EXPECT_THAT(LookLater().foreign, IsEmpty());
}

TEST_F(GossipPolicyTest, JoinsAgainWhileAMemberIsAway) {
  EXPECT_FALSE(Look().join);
  members[1].status = MemberStatus::kFailed;
  int joins = 0;
  for (int second = 0; second < 20; ++second) joins += LookLater().join ? 1 : 0;
  EXPECT_EQ(joins, 4);
  // One that gossip has forgotten altogether is away too.
  members.pop_back();
  now = now + seconds(5);
  EXPECT_TRUE(Look().join);
  members.push_back(Node("n2"));
  now = now + seconds(5);
  EXPECT_FALSE(Look().join);
}

TEST_F(GossipPolicyTest, DoesNotJoinWhileItJoins) {
  members[1].status = MemberStatus::kFailed;
  policy.OnJoining();
  for (int second = 0; second < 20; ++second) EXPECT_FALSE(LookLater().join);
  policy.OnJoined();
  EXPECT_TRUE(LookLater().join);
}

TEST_F(GossipPolicyTest, DoesNotJoinWithoutAddresses) {
  GossipPolicy alone({.reconciler = {.own_name = "n1"}});
  members[1].status = MemberStatus::kFailed;
  EXPECT_FALSE(alone.Look(now, members, known).join);
}

TEST_F(GossipPolicyTest, OnlyALeaderAsksForChanges) {
  members.push_back(Node("n3"));
  known.leads = false;
  EXPECT_THAT(Requested(), IsEmpty());
  known.leads = true;
  EXPECT_THAT(Requested(), ElementsAre("n3"));
  EXPECT_THAT(Requested(), IsEmpty()) << "it was asked for already";
}

TEST_F(GossipPolicyTest, TheSameRefusalIsToldOnce) {
  members.push_back(Node("n3"));
  const auto refuse = [&](const std::string& reason) {
    EXPECT_THAT(Requested(), ElementsAre("n3"));
    const bool told = policy.OnRequestDone(now, "n3", absl::FailedPreconditionError(reason));
    now = now + seconds(10);
    return told;
  };
  EXPECT_TRUE(refuse("another authority"));
  EXPECT_FALSE(refuse("another authority"));
  EXPECT_TRUE(refuse("another cluster"));
  // Success, or the end of the node, is the end of the story.
  EXPECT_THAT(Requested(), ElementsAre("n3"));
  EXPECT_FALSE(policy.OnRequestDone(now, "n3", absl::OkStatus()));
  EXPECT_TRUE(refuse("another cluster"));
  members.pop_back();
  LookLater();
  members.push_back(Node("n3"));
  EXPECT_TRUE(refuse("another cluster"));
}

}  // namespace
}  // namespace mokv
