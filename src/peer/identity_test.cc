// Members that are not where the configuration has them, and processes that share one identity.
#include <gtest/gtest.h>

#include <atomic>

#include "peer/peer_network.h"
#include "peer/testing/peer_node.h"

namespace mokv::peer {
namespace {

using net::Until;

// A member as an outdated configuration has it: nobody listens at port 1.
raft::Member Elsewhere(const PeerNode& node) {
  raft::Member member = node.member();
  member.rpc_address = "127.0.0.1:1";
  return member;
}

void Hint(PeerNode& node, const PeerNode& about) {
  node.Do([&] { node.network().SetAddressHints({{about.id(), about.member().rpc_address}}); });
}

bool Linked(const PeerNode& from, const PeerNode& to) {
  return from.StatsOf(to.id()).is_connected_out;
}

// Goal: a cluster whose addresses have all changed connects again, by hints alone.
TEST(PeerAddress, AHintLeadsWhereTheConfigurationDoesNot) {
  PeerNode a(QuickOptions("a"));
  PeerNode b(QuickOptions("b"));
  a.Join("cluster", {Elsewhere(a), Elsewhere(b)});
  b.Join("cluster", {Elsewhere(a), Elsewhere(b)});
  Hint(a, b);
  EXPECT_TRUE(Until([&] { return Linked(a, b); }));
}

TEST(PeerAddress, WhoeverConnectsSaysWhereItIs) {
  PeerNode a(QuickOptions("a"));
  PeerNode b(QuickOptions("b"));
  a.Join("cluster", {a.member(), Elsewhere(b)});
  b.Join("cluster", {a.member(), Elsewhere(b)});
  EXPECT_TRUE(Until([&] { return Linked(b, a) && Linked(a, b); }));
}

// Goal: ports that two nodes have swapped lead nobody to the wrong one.
TEST(PeerAddress, SwappedAddressesAreSortedOut) {
  PeerNode a(QuickOptions("a"));
  PeerNode b(QuickOptions("b"));
  PeerNode c(QuickOptions("c"));
  raft::Member b_at_c = b.member();
  raft::Member c_at_b = c.member();
  std::swap(b_at_c.rpc_address, c_at_b.rpc_address);
  a.Join("cluster", {a.member(), b_at_c, c_at_b});
  a.Do([&] {
    a.network().SetAddressHints(
        {{b.id(), b.member().rpc_address}, {c.id(), c.member().rpc_address}});
  });
  EXPECT_TRUE(Until([&] { return Linked(a, b) && Linked(a, c); }));
}

TEST(PeerAddress, AWrongHintKeepsNobodyFromTheConfigurations) {
  PeerNode a(QuickOptions("a"));
  PeerNode b(QuickOptions("b"));
  a.Do([&] { a.network().SetAddressHints({{b.id(), "127.0.0.1:1"}}); });
  a.Join("cluster", {a.member(), b.member()});
  EXPECT_TRUE(Until([&] { return Linked(a, b); }));
  // The configuration names what is connected: nothing is closed for it.
  const uint64_t closed = a.stats().closed;
  a.Join("cluster", {a.member(), b.member()});
  EXPECT_EQ(a.stats().closed, closed);
}

// Goal: a rebuilt node says whose place it takes, and of which cluster it is, until it is a member.
TEST(PeerIdentity, ARebuiltNodeTakesAPlaceUntilItIsAMember) {
  PeerNode a(QuickOptions("a"));
  Options options = QuickOptions("b");
  options.cluster_id = "cluster";
  options.replaces = {"before"};
  PeerNode b(options);
  const std::string address = b.member().rpc_address;
  EXPECT_EQ(a.Identify(address)->replaces, options.replaces);
  EXPECT_EQ(a.Identify(address)->cluster_id, "cluster");
  b.Join("cluster", {a.member()});
  EXPECT_EQ(a.Identify(address)->replaces, options.replaces);
  b.Join("cluster", {a.member(), b.member()});
  EXPECT_TRUE(a.Identify(address)->replaces.empty());
}

// Goal: a copy of a data directory gets no voice while the first process is connected, and ends.
TEST(PeerIdentity, ASecondProcessIsRefusedAndIsToldSo) {
  PeerNode a(QuickOptions("a"));
  PeerNode first(QuickOptions("b"));
  a.Join("cluster", {a.member(), first.member()});
  first.Join("cluster", {a.member(), first.member()});
  ASSERT_TRUE(Until([&] { return Linked(a, first) && Linked(first, a); }));

  std::atomic<int> told{0};
  Options options = QuickOptions("b");
  options.duplicate_final_after = std::chrono::milliseconds(50);
  options.on_duplicate = [&](const std::string& reason) {
    EXPECT_NE(reason.find("another process"), std::string::npos) << reason;
    ++told;
  };
  PeerNode second(options);
  second.Join("cluster", {a.member(), second.member()});
  EXPECT_TRUE(Until([&] { return told > 0; }));
  EXPECT_FALSE(Linked(second, a));
  EXPECT_TRUE(Linked(first, a));
  EXPECT_GT(a.stats().refused.at("duplicate"), 0u);
}

// Goal: a restart is no second process, however soon it comes.
TEST(PeerIdentity, ANewProcessIsWelcomeOnceTheFirstIsGone) {
  PeerNode a(QuickOptions("a"));
  auto first = std::make_unique<PeerNode>(QuickOptions("b"));
  const raft::Member member = first->member();
  a.Join("cluster", {a.member(), member});
  first->Join("cluster", {a.member(), member});
  ASSERT_TRUE(Until([&] { return Linked(a, *first) && Linked(*first, a); }));
  const uint16_t port = first->port();
  first.reset();
  PeerNode second(QuickOptions("b"), port);
  second.Join("cluster", {a.member(), member});
  EXPECT_TRUE(Until([&] { return Linked(a, second) && Linked(second, a); }));
}

}  // namespace
}  // namespace mokv::peer
