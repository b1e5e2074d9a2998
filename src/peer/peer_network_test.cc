// Nodes that find, greet and understand each other over real sockets.
#include "peer/peer_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "base/status.h"
#include "net/testing/raw_socket.h"
#include "peer/testing/peer_node.h"

namespace mokv::peer {
namespace {

using net::Until;
using testing::HasSubstr;

std::vector<uint64_t> RoundsOf(const Told& told) {
  std::vector<uint64_t> rounds;
  for (const raft::Message& message : told.messages) {
    if (const auto* heartbeat = std::get_if<raft::Heartbeat>(&message.body)) {
      rounds.push_back(heartbeat->round.value());
    }
  }
  return rounds;
}

raft::Message AppendTo(const PeerNode& from, const PeerNode& to, raft::EntryBatch entries) {
  return {.from = from.id(),
          .to = to.id(),
          .term = Term(2),
          .body = raft::Append{
              .previous = {Index(4), Term(1)}, .entries = std::move(entries), .commit = Index(3)}};
}

raft::EntryBatch BatchOf(size_t count, size_t payload_bytes) {
  auto entries = std::make_shared<std::vector<Entry>>();
  for (size_t i = 0; i < count; ++i) {
    entries->push_back({.index = Index(5 + i),
                        .term = Term(2),
                        .type = EntryType::kCommand,
                        .payload = std::make_shared<const std::string>(
                            payload_bytes, static_cast<char>('a' + i % 26))});
  }
  return entries;
}

class PeerNetworkTest : public testing::Test {
 protected:
  void Connect(std::vector<PeerNode*> nodes) {
    std::vector<raft::Member> members;
    for (const PeerNode* node : nodes) members.push_back(node->member());
    for (PeerNode* node : nodes) node->Join("cluster", members);
    for (PeerNode* node : nodes) {
      for (PeerNode* other : nodes) {
        if (node == other) continue;
        EXPECT_TRUE(Until([&] { return node->Reaches(*other) && node->IsReachedBy(*other); }));
      }
    }
  }

  PeerNode a_{QuickOptions("a")};
  PeerNode b_{QuickOptions("b")};
};

TEST_F(PeerNetworkTest, ConnectsMembersBothWays) {
  PeerNode c(QuickOptions("c"));
  Connect({&a_, &b_, &c});
  EXPECT_EQ(a_.stats().opened_out, 2u);
  EXPECT_EQ(a_.stats().opened_in, 2u);
  EXPECT_EQ(a_.stats().open, 4u);
  EXPECT_EQ(a_.StatsOf(b_.id()).name, "b");
  EXPECT_EQ(a_.StatsOf(b_.id()).version, "test");
}

TEST_F(PeerNetworkTest, KeepsTheOrderOfMessages) {
  Connect({&a_, &b_});
  std::vector<uint64_t> sent;
  for (uint64_t batch = 0; batch < 50; ++batch) {
    std::vector<raft::Message> messages;
    for (uint64_t i = 0; i < 20; ++i) {
      sent.push_back(batch * 20 + i);
      messages.push_back(MessageTo(a_, b_, sent.back()));
    }
    a_.Send(messages);
  }
  EXPECT_TRUE(Until([&] { return b_.told().messages.size() == sent.size(); }));
  EXPECT_EQ(RoundsOf(b_.told()), sent);
  EXPECT_EQ(b_.told().messages[0].from, a_.id());
}

TEST_F(PeerNetworkTest, TellsDigests) {
  Connect({&a_, &b_});
  a_.Do([&] {
    a_.network().SendDigest(b_.id(),
                            {.index = Index(1024), .format = 3, .low = UINT64_MAX, .high = 0x1234});
  });
  ASSERT_TRUE(Until([&] { return b_.told().digests.size() == 1; }));
  const auto [from, digest] = b_.told().digests.front();
  EXPECT_EQ(from, a_.id());
  EXPECT_EQ(digest.index, Index(1024));
  EXPECT_EQ(digest.format, 3u);
  EXPECT_EQ(digest.low, UINT64_MAX);
  EXPECT_EQ(digest.high, 0x1234u);
}

TEST_F(PeerNetworkTest, SendsEntriesOfAnySizeToSeveralPeers) {
  PeerNode c(QuickOptions("c"));
  Connect({&a_, &b_, &c});
  for (const raft::EntryBatch& batch :
       {BatchOf(1, 0), BatchOf(100, 64), BatchOf(3, 300'000), BatchOf(1, 20 << 20)}) {
    const size_t before = b_.told().messages.size();
    a_.Send({AppendTo(a_, b_, batch), AppendTo(a_, c, batch), MessageTo(a_, b_, 9)});
    for (const PeerNode* to : {&b_, &c}) {
      EXPECT_TRUE(Until([&] { return to->told().messages.size() > before; }));
      const raft::Message message = to->told().messages[before];
      const auto& append = std::get<raft::Append>(message.body);
      EXPECT_EQ(append.previous, (raft::Position{Index(4), Term(1)}));
      ASSERT_EQ(append.entries->size(), batch->size());
      for (size_t i = 0; i < batch->size(); ++i) {
        EXPECT_EQ((*append.entries)[i].index, (*batch)[i].index);
        EXPECT_EQ((*append.entries)[i].bytes(), (*batch)[i].bytes());
      }
    }
    EXPECT_TRUE(Until([&] { return b_.told().messages.size() == before + 2; }));
    // c's two records are one; b's second message was the heartbeat.
    a_.Send({MessageTo(a_, c, 9)});
    EXPECT_TRUE(Until([&] { return c.told().messages.size() == before + 2; }));
  }
}

// A learner that knows of no configuration answers the leader over the leader's own connection.
TEST_F(PeerNetworkTest, AnswersOverAnIncomingConnection) {
  a_.Join("cluster", {a_.member(), b_.member()});
  EXPECT_TRUE(Until([&] { return b_.IsReachedBy(a_) && a_.Reaches(b_); }));
  b_.Send({MessageTo(b_, a_, 7)});
  EXPECT_TRUE(Until([&] { return RoundsOf(a_.told()) == std::vector<uint64_t>{7}; }));
  EXPECT_FALSE(b_.Reaches(a_));
}

TEST_F(PeerNetworkTest, DropsAndCountsWhatHasNoConnection) {
  a_.Send({MessageTo(a_, b_, 1)});
  EXPECT_EQ(a_.stats().dropped.unconnected, 1u);
  EXPECT_EQ(a_.Forward(b_.id(), {.id = replica::ForwardId(1)}), replica::ConnectionId());
}

TEST_F(PeerNetworkTest, CarriesForwardsAndAnswers) {
  Connect({&a_, &b_});
  replica::ForwardedWrites writes;
  writes.writes.push_back({std::make_shared<const std::string>("command"), "root"});
  const replica::ConnectionId sent = a_.Forward(
      b_.id(), {.id = replica::ForwardId(5), .wait = std::chrono::seconds(2), .body = writes});
  ASSERT_NE(sent, replica::ConnectionId());
  ASSERT_TRUE(Until([&] { return b_.told().forwards.size() == 1; }));
  const Told::Forwarded got = b_.told().forwards[0];
  EXPECT_EQ(got.from, a_.id());
  EXPECT_EQ(got.forward.id, replica::ForwardId(5));
  EXPECT_EQ(got.forward.wait, std::chrono::seconds(2));
  const auto& got_writes = std::get<replica::ForwardedWrites>(got.forward.body).writes;
  ASSERT_EQ(got_writes.size(), 1u);
  EXPECT_EQ(*got_writes[0].command, "command");
  EXPECT_EQ(got_writes[0].subject, "root");

  replica::WriteResult result;
  result.fate = replica::WriteResult::Fate::kApplied;
  result.applied.revision = Revision(9);
  b_.Do([&] {
    b_.network().Answer(got.connection,
                        {.id = got.forward.id, .body = std::vector<replica::WriteResult>{result}});
  });
  ASSERT_TRUE(Until([&] { return a_.told().answers.size() == 1; }));
  const Told::Answered answer = a_.told().answers[0];
  EXPECT_EQ(answer.connection, sent);
  const auto& results = std::get<std::vector<replica::WriteResult>>(answer.answer.body);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].applied.revision, Revision(9));
}

TEST_F(PeerNetworkTest, ForgetsAnswersToConnectionsThatAreGone) {
  b_.Do([&] { b_.network().Answer(replica::ConnectionId(77), {.id = replica::ForwardId(1)}); });
  EXPECT_EQ(b_.stats().dropped.unconnected, 1u);
}

TEST_F(PeerNetworkTest, TellsOfClosedConnectionsAndConnectsAgain) {
  const net::ReservedPort reserved;
  auto c = std::make_unique<PeerNode>(QuickOptions("c"), reserved.port());
  const raft::NodeId id = c->id();
  Connect({&a_, c.get()});
  c = nullptr;
  EXPECT_TRUE(Until([&] { return a_.told().closed.size() == 2; }));
  const std::vector<Told::Closed> closed = a_.told().closed;
  EXPECT_EQ(closed[0].peer, id);
  EXPECT_FALSE(closed[0].last);
  EXPECT_TRUE(closed[1].last);
  // The first attempt may still have met the node, and say something else.
  EXPECT_TRUE(Until([&] {
    return a_.StatsOf(id).last_error.find("cannot connect to 127.0.0.1:") != std::string::npos;
  })) << a_.StatsOf(id).last_error;

  c = std::make_unique<PeerNode>(QuickOptions("c"), reserved.port());
  EXPECT_TRUE(Until([&] { return a_.Reaches(*c); }));
  EXPECT_EQ(a_.StatsOf(id).last_error, "");
  a_.Send({MessageTo(a_, *c, 3)});
  EXPECT_TRUE(Until([&] { return RoundsOf(c->told()) == std::vector<uint64_t>{3}; }));
}

TEST_F(PeerNetworkTest, ANewerIncomingConnectionReplacesTheOlder) {
  Options options = QuickOptions("c");
  options.process_id = 7;
  auto c = std::make_unique<PeerNode>(options);
  c->Join("cluster", {a_.member(), c->member()});
  EXPECT_TRUE(Until([&] { return a_.IsReachedBy(*c) && c->Reaches(a_); }));
  // The same process once more, as if the end of its first connection had been lost.
  PeerNode again(options);
  again.Join("cluster", {a_.member(), again.member()});
  EXPECT_TRUE(Until([&] { return again.Reaches(a_); }));
  EXPECT_TRUE(Until([&] { return !a_.told().closed.empty(); }));
  EXPECT_GE(a_.stats().replaced, 1u);
  EXPECT_FALSE(a_.told().closed[0].last);
}

TEST_F(PeerNetworkTest, LetsARemovedMemberGo) {
  Connect({&a_, &b_});
  a_.Join("cluster", {a_.member()});
  EXPECT_TRUE(Until([&] { return !a_.Reaches(b_) && !b_.IsReachedBy(a_); }));
  EXPECT_TRUE(a_.IsReachedBy(b_));  // Who has not heard of it may still ask.
  b_.Join("cluster", {b_.member()});
  EXPECT_TRUE(Until([&] { return a_.stats().open == 0 && b_.stats().open == 0; }));
  EXPECT_TRUE(Until([&] { return a_.stats().peers.empty(); }));
}

TEST_F(PeerNetworkTest, KeepsAMemberThatComesBackInTime) {
  Connect({&a_, &b_});
  auto with = std::make_shared<const raft::Membership>(
      "cluster", std::vector<raft::Member>{a_.member(), b_.member()});
  auto without =
      std::make_shared<const raft::Membership>("cluster", std::vector<raft::Member>{a_.member()});
  a_.Do([&] {
    a_.network().SetMembership(without);
    a_.network().SetMembership(with);
  });
  a_.Send({MessageTo(a_, b_, 1)});
  EXPECT_TRUE(Until([&] { return RoundsOf(b_.told()) == std::vector<uint64_t>{1}; }));
  const uint64_t rounds = a_.StatsOf(b_.id()).round_trips.count;
  EXPECT_TRUE(Until([&] { return a_.StatsOf(b_.id()).round_trips.count > rounds + 1; }));
  EXPECT_EQ(a_.stats().closed, 0u);
}

TEST_F(PeerNetworkTest, FollowsAMemberToItsNewAddress) {
  raft::Member moved = b_.member();
  moved.rpc_address = "127.0.0.1:1";  // Nobody listens there.
  a_.Join("cluster", {a_.member(), moved});
  EXPECT_TRUE(Until([&] { return !a_.StatsOf(b_.id()).last_error.empty(); }));
  a_.Join("cluster", {a_.member(), b_.member()});
  EXPECT_TRUE(Until([&] { return a_.Reaches(b_); }));
  a_.Join("cluster", {a_.member(), moved});
  EXPECT_TRUE(Until([&] { return !a_.Reaches(b_) && !a_.StatsOf(b_.id()).last_error.empty(); }));
}

TEST_F(PeerNetworkTest, MeasuresRoundTrips) {
  Connect({&a_, &b_});
  EXPECT_TRUE(Until([&] { return a_.StatsOf(b_.id()).round_trips.count >= 3; }));
  const RoundTrips trips = a_.StatsOf(b_.id()).round_trips;
  EXPECT_GT(trips.last, Duration(0));
  EXPECT_GT(trips.smoothed, Duration(0));
  EXPECT_GE(trips.sum, trips.last);
  EXPECT_GT(a_.StatsOf(b_.id()).bytes_in, 0u);
  EXPECT_GT(a_.StatsOf(b_.id()).bytes_out, 0u);
}

TEST_F(PeerNetworkTest, SaysWhoIsThere) {
  b_.Join("cluster", {b_.member()});
  const auto identity = a_.Identify(b_.member().rpc_address);
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->name, "b");
  EXPECT_EQ(identity->instance_id, "1");
  EXPECT_EQ(identity->cluster_id, "cluster");
  EXPECT_EQ(identity->version, "test");
  EXPECT_EQ(b_.stats().identified, 1u);
  // Of another cluster as well, and of itself.
  a_.Join("other", {a_.member()});
  EXPECT_TRUE(a_.Identify(b_.member().rpc_address).ok());
  EXPECT_EQ(a_.Identify(a_.member().rpc_address)->name, "a");
  EXPECT_EQ(a_.stats().open, 0u);
}

TEST_F(PeerNetworkTest, StopTellsNothing) {
  Connect({&a_, &b_});
  a_.Do([&] { a_.network().Stop(); });
  EXPECT_TRUE(Until([&] { return b_.told().closed.size() == 2; }));
  EXPECT_EQ(a_.told().closed.size(), 0u);
  EXPECT_EQ(a_.stats().open, 0u);
  a_.Send({MessageTo(a_, b_, 1)});
  a_.Join("cluster", {a_.member(), b_.member()});
  a_.Do([] {});
  EXPECT_EQ(a_.stats().peers.size(), 0u);
}

// Goal:   who stops gets nothing more passed on, and has got all that was before.
TEST_F(PeerNetworkTest, FarewellEndsWhatIsPassedOn) {
  PeerNode c(QuickOptions("c"));
  Connect({&a_, &b_, &c});
  const replica::Forward forward{.id = replica::ForwardId(1),
                                 .body = replica::AdminRequest{.name = "x"}};
  for (int i = 0; i < 100; ++i) {
    EXPECT_NE(b_.Forward(a_.id(), forward), replica::ConnectionId());
  }
  std::promise<size_t> forwards;
  a_.Do([&] { a_.network().Farewell([&] { forwards.set_value(a_.told().forwards.size()); }); });
  EXPECT_EQ(forwards.get_future().get(), 100u);
  EXPECT_EQ(b_.Forward(a_.id(), forward), replica::ConnectionId());
  EXPECT_NE(b_.Forward(c.id(), forward), replica::ConnectionId());
  // Raft goes on, and who hangs up instead of answering counts as well.
  b_.Send({MessageTo(b_, a_, 7)});
  EXPECT_TRUE(Until([&] { return RoundsOf(a_.told()) == std::vector<uint64_t>{7}; }));
  std::promise<void> again;
  c.Do([&] { c.network().Stop(); });
  a_.Do([&] { a_.network().Farewell([&] { again.set_value(); }); });
  again.get_future().wait();
}

}  // namespace
}  // namespace mokv::peer
