#include "node/reconciler.h"

#include <gtest/gtest.h>

namespace mokv {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Kind = replica::AdminRequest::Kind;
using State = GossipNode::State;

class ReconcilerTest : public ::testing::Test {
 protected:
  ReconcilerTest() {
    view.cluster_id = "c";
    for (const char* name : {"n1", "n2", "n3"}) {
      view.members.push_back({.name = name,
                              .instance_id = std::string("disk-") + name,
                              .rpc_address = std::string(name) + ":8400",
                              .is_voter = true});
      gossip.push_back(Node(name));
      alive[name] = true;
    }
  }
  static GossipNode Node(const std::string& name, State state = State::kAlive) {
    return {.name = name,
            .state = state,
            .rpc_address = name + ":8400",
            .cluster_id = "c",
            .instance_id = "disk-" + name};
  }
  std::vector<replica::AdminRequest> Look(bool leads = true) {
    return reconciler.Look(now, leads, view, gossip, alive);
  }
  GossipNode& At(const std::string& name) {
    for (GossipNode& node : gossip) {
      if (node.name == name) return node;
    }
    gossip.push_back(Node(name));
    return gossip.back();
  }

  Reconciler reconciler{
      {.own_name = "n1", .left_timeout = minutes(10), .dead_timeout = Duration(0)}};
  MonotonicTime now{std::chrono::hours(1)};
  replica::ClusterView view;
  std::vector<GossipNode> gossip;
  std::map<std::string, bool> alive;
};

TEST_F(ReconcilerTest, LeavesAloneWhatAgrees) { EXPECT_TRUE(Look().empty()); }

TEST_F(ReconcilerTest, AddsANewNodeOnce) {
  At("n4");
  const auto requests = Look();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].kind, Kind::kAddMember);
  EXPECT_EQ(requests[0].name, "n4");
  EXPECT_EQ(requests[0].rpc_address, "n4:8400");
  EXPECT_TRUE(requests[0].automatic);
  EXPECT_TRUE(Look().empty()) << "it is in progress";
  reconciler.OnDone(now, "n4", false);
  EXPECT_TRUE(Look().empty()) << "it was refused a moment ago";
  now = now + seconds(5);
  EXPECT_EQ(Look().size(), 1u);
}

// Goal: a flood of invented members does not make the leader dial them all.
TEST_F(ReconcilerTest, AsksAFewAtATime) {
  for (int i = 10; i < 1000; ++i) At("x" + std::to_string(i));
  EXPECT_EQ(Look().size(), 8u);
  EXPECT_TRUE(Look().empty());
}

// Goal: nodes that somebody invented, and that are refused again and again, keep nobody waiting.
TEST_F(ReconcilerTest, InventedNodesDoNotKeepRealOnesWaiting) {
  for (int i = 10; i < 60; ++i) At("a" + std::to_string(i));
  At("n4");
  bool asked = false;
  for (int round = 0; round < 20 && !asked; ++round) {
    for (const replica::AdminRequest& request : Look()) {
      asked |= request.name == "n4";
      reconciler.OnDone(now, request.name, false);
    }
    now = now + seconds(1);
  }
  EXPECT_TRUE(asked);
  // A member that moved is asked before them all.
  At("n2").rpc_address = "elsewhere:8400";
  now = now + seconds(10);
  EXPECT_EQ(Look().front().name, "n2");
}

TEST_F(ReconcilerTest, DoesNothingUnlessItLeads) {
  At("n4");
  EXPECT_TRUE(Look(false).empty());
}

TEST_F(ReconcilerTest, CorrectsTheLeadersOwnAddress) {
  At("n1").rpc_address = "elsewhere:8400";
  const auto requests = Look();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].kind, Kind::kAddMember);
  EXPECT_EQ(requests[0].name, "n1");
  EXPECT_EQ(requests[0].rpc_address, "elsewhere:8400");
}

TEST_F(ReconcilerTest, DoesNotFollowSomebodyElseUnderTheLeadersName) {
  At("n1").rpc_address = "elsewhere:8400";
  At("n1").instance_id = "another disk";
  EXPECT_TRUE(Look().empty());
}

TEST_F(ReconcilerTest, TellsANewAddressAndAnotherDisk) {
  At("n2").rpc_address = "elsewhere:8400";
  At("n3").instance_id = "another disk";
  const auto requests = Look();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].rpc_address, "elsewhere:8400");
  EXPECT_EQ(requests[1].kind, Kind::kAddMember) << "the cluster refuses it, and says why";
}

TEST_F(ReconcilerTest, RemovesWhoLeftAndDidNotComeBack) {
  At("n3").state = State::kLeft;
  alive["n3"] = false;
  EXPECT_TRUE(Look().empty());
  now = now + minutes(9);
  EXPECT_TRUE(Look().empty());
  now = now + minutes(1);
  const auto requests = Look();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].kind, Kind::kRemoveMember);
}

TEST_F(ReconcilerTest, ANodeThatCameBackStartsAnew) {
  At("n3").state = State::kLeft;
  alive["n3"] = false;
  Look();
  now = now + minutes(9);
  At("n3").state = State::kAlive;
  Look();
  At("n3").state = State::kLeft;
  Look();
  now = now + minutes(9);
  EXPECT_TRUE(Look().empty());
}

// Goal: anybody can send "left" without a key; who still answers Raft stays.
TEST_F(ReconcilerTest, DoesNotBelieveGossipAboutANodeThatAnswers) {
  At("n3").state = State::kLeft;
  Look();
  now = now + minutes(60);
  EXPECT_TRUE(Look().empty());
}

TEST_F(ReconcilerTest, NeverRemovesTheDeadByDefault) {
  At("n3").state = State::kFailed;
  alive["n3"] = false;
  Look();
  now = now + std::chrono::hours(1000);
  EXPECT_TRUE(Look().empty());
}

TEST_F(ReconcilerTest, DoesNotRemoveWhatWouldLeaveNoQuorum) {
  At("n2").state = State::kLeft;
  At("n3").state = State::kLeft;
  alive["n2"] = false;
  alive["n3"] = false;
  Look();
  now = now + minutes(60);
  EXPECT_TRUE(Look().empty());
}

// Goal: a new leader has not seen when a node left, so its time begins now.
TEST_F(ReconcilerTest, ANewLeaderWaitsTheWholeTime) {
  At("n3").state = State::kLeft;
  alive["n3"] = false;
  Look();
  now = now + minutes(9);
  Look(false);
  now = now + minutes(9);
  EXPECT_TRUE(Look().empty());
  now = now + minutes(10);
  EXPECT_EQ(Look().size(), 1u);
}

}  // namespace
}  // namespace mokv
