// Peers that send garbage, stall, or never read: their own connection ends, and nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "peer/testing/peer_node.h"
#include "peer/testing/raw_peer.h"

namespace mokv::peer {
namespace {

using net::RawListener;
using net::RawSocket;
using net::Until;
using testing::HasSubstr;

class HostileTest : public testing::Test {
 protected:
  // For tests that wait until a handshake has taken too long.
  static Options HastyOptions(const std::string& name) {
    Options options = QuickOptions(name);
    options.handshake_timeout = std::chrono::milliseconds(100);
    return options;
  }
  void ExpectStillServed() {
    PeerNode good(QuickOptions("good"));
    good.Join("cluster", {node_.member(), good.member()});
    EXPECT_TRUE(Until([&] { return good.Reaches(node_); }));
    good.Send({MessageTo(good, node_, 1)});
    EXPECT_TRUE(Until([&] {
      const Told told = node_.told();
      return !told.messages.empty() && told.messages.back().from == good.id();
    }));
  }

  PeerNode node_{QuickOptions("node")};
};

TEST_F(HostileTest, UnderstandsAPeerByHand) {
  RawPeer peer(node_);
  peer.Introduce();
  peer.Send(peer.Heartbeat(5));
  EXPECT_TRUE(Until([&] { return node_.told().messages.size() == 1; }));
  proto::Frame ping;
  ping.mutable_ping()->set_id(77);
  peer.Send(ping);
  EXPECT_EQ(peer.Receive().pong().id(), 77u);
  EXPECT_EQ(node_.stats().malformed, 0u);
}

TEST_F(HostileTest, GetsAllThatCameWithTheGreeting) {
  RawPeer peer(node_);
  std::string bytes = std::string(kMagic) + FrameBytes(peer.hello_frame());
  for (uint64_t i = 0; i < 5000; ++i) bytes += FrameBytes(peer.Heartbeat(i));
  peer.socket().Send(bytes);
  EXPECT_TRUE(Until([&] { return node_.told().messages.size() == 5000; }));
}

TEST_F(HostileTest, RefusalsSayWhyAndAreCounted) {
  node_.Join("cluster", {node_.member()});
  const auto refusal = [&](auto change) {
    RawPeer peer(node_);
    change(peer);
    peer.SendHello();
    const proto::HelloReply reply = peer.Receive().hello_reply();
    EXPECT_TRUE(peer.socket().WaitForEnd());
    return std::string(RefusalName(reply.refusal()));
  };
  EXPECT_EQ(refusal([](RawPeer& p) { p.hello().set_to_name("other"); }), "not-me");
  EXPECT_EQ(refusal([](RawPeer& p) { p.hello().set_to_instance_id("lost"); }), "not-me");
  EXPECT_EQ(refusal([](RawPeer& p) { p.hello().set_cluster_id("other"); }), "cluster");
  EXPECT_EQ(refusal([](RawPeer& p) { p.hello().set_from_name("node"); }), "self");
  EXPECT_EQ(refusal([](RawPeer& p) {
              p.hello().set_protocol_version_min(9);
              p.hello().set_protocol_version_max(9);
            }),
            "version");
  EXPECT_EQ(refusal([](RawPeer& p) { p.hello().clear_from_name(); }), "malformed");
  EXPECT_EQ(refusal([](RawPeer& p) { p.hello_frame().set_group(3); }), "group");
  const Stats stats = node_.stats();
  EXPECT_EQ(stats.refused.at("not-me"), 2u);
  EXPECT_EQ(stats.refused.at("cluster"), 1u);
  EXPECT_EQ(stats.refused.at("self"), 1u);
  EXPECT_EQ(stats.refused.at("version"), 1u);
  EXPECT_EQ(stats.refused.at("malformed"), 1u);
  EXPECT_EQ(stats.refused.at("group"), 1u);
  EXPECT_EQ(stats.open, 0u);
  ExpectStillServed();
}

TEST_F(HostileTest, MalformedFramesEndTheirConnectionAlone) {
  proto::Frame hello;
  hello.mutable_hello();
  proto::Frame append;
  append.mutable_raft()->set_from(raft::NodeIdOf("raw", "1").value());
  append.mutable_raft()->set_to(node_.id().value());
  append.mutable_raft()->mutable_append();
  std::string flipped = FrameBytes(append);
  flipped.back() ^= 1;
  proto::Frame of_another = append;
  of_another.mutable_raft()->set_from(raft::NodeIdOf("other", "1").value());
  proto::Frame to_another = append;
  to_another.mutable_raft()->set_to(77);
  const std::string bad_type = "\x08\x05\x12\x02\x10\x09";  // First index 5, one entry of type 9.
  const std::vector<std::string> wrong = {
      std::string(kPrefixBytes, '\xff'),  // Lengths over every limit.
      flipped,
      FrameBytes(hello),
      FrameBytes(of_another),
      FrameBytes(to_another),
      FrameBytes(append, "garbage"),
      FrameBytes(append, bad_type),
  };
  PeerNode good(QuickOptions("good"));
  good.Join("cluster", {node_.member(), good.member()});
  EXPECT_TRUE(Until([&] { return good.Reaches(node_); }));
  for (size_t i = 0; i < wrong.size(); ++i) {
    SCOPED_TRACE(i);
    RawPeer peer(node_);
    peer.Introduce();
    peer.socket().Send(wrong[i]);
    EXPECT_TRUE(peer.socket().WaitForEnd());
    EXPECT_TRUE(Until([&] { return node_.told().closed.size() == i + 1; }));
    EXPECT_EQ(node_.told().closed.back().peer, peer.id());
    EXPECT_TRUE(node_.told().closed.back().last);
    EXPECT_EQ(node_.stats().malformed, i + 1);
  }
  EXPECT_TRUE(node_.told().messages.empty());
  EXPECT_TRUE(good.Reaches(node_));
  EXPECT_EQ(good.told().closed.size(), 0u);
}

TEST_F(HostileTest, IgnoresWhatALaterVersionSays) {
  RawPeer peer(node_);
  peer.Introduce();
  proto::Frame unknown;
  peer.Send(unknown, "with an attachment");
  proto::Frame kind = peer.Heartbeat(1);
  kind.mutable_raft()->clear_heartbeat();
  peer.Send(kind);
  proto::Frame group = peer.Heartbeat(2);
  group.set_group(4);
  peer.Send(group);
  peer.Send(peer.Heartbeat(3));
  EXPECT_TRUE(Until([&] { return node_.told().messages.size() == 1; }));
  EXPECT_EQ(node_.stats().unknown, 3u);
  EXPECT_EQ(node_.stats().malformed, 0u);
}

TEST_F(HostileTest, DoesNotWaitForGreetingsForEver) {
  PeerNode hasty_node(HastyOptions("node"));
  RawPeer silent(hasty_node);
  silent.socket().Send(kMagic);
  RawPeer half(hasty_node);
  half.socket().Send((std::string(kMagic) + FrameBytes(half.hello_frame())).substr(0, 40));
  EXPECT_TRUE(silent.socket().WaitForEnd());
  EXPECT_TRUE(half.socket().WaitForEnd());
  RawPeer gone(hasty_node);
  gone.socket().Send(kMagic);
  gone.socket().Close();
  EXPECT_TRUE(Until([&] { return hasty_node.stats().greetings_failed == 3; }));
  // Nor keeps what nobody needs to send before it is known.
  RawPeer large(hasty_node);
  proto::Frame attached = large.hello_frame();
  large.socket().Send(std::string(kMagic) + FrameBytes(attached, "x").substr(0, kPrefixBytes));
  EXPECT_TRUE(large.socket().WaitForEnd());
  EXPECT_EQ(hasty_node.stats().malformed, 1u);
  RawPeer hasty(hasty_node);
  hasty.socket().Send(std::string(kMagic) + FrameBytes(hasty.Heartbeat(1)));
  EXPECT_TRUE(hasty.socket().WaitForEnd());
  EXPECT_EQ(hasty_node.stats().malformed, 2u);
  EXPECT_TRUE(hasty_node.told().closed.empty());
}

TEST_F(HostileTest, RefusesMoreConnectionsThanItsLimit) {
  Options options = QuickOptions("small");
  options.incoming_max = 1;
  PeerNode small(options);
  RawPeer first(small);
  first.Introduce();
  RawPeer second(small);
  second.hello().set_from_name("second");
  second.SendHello();
  EXPECT_EQ(second.Receive().hello_reply().refusal(), proto::HelloReply::FULL);
  EXPECT_EQ(small.stats().refused.at("full"), 1u);
  // Asking is not staying.
  EXPECT_TRUE(node_.Identify(small.member().rpc_address).ok());
}

// A peer that takes nothing: what waits for it is bounded, and what is urgent has a little more
// room.
TEST_F(HostileTest, DropsWhatASlowReaderDoesNotTake) {
  Options options = QuickOptions("busy");
  options.waiting_bytes_max = size_t{4} << 20;
  options.waiting_bytes_reserve = 4096;
  PeerNode busy(options);
  RawPeer slow(busy);
  slow.Introduce();
  auto entries = std::make_shared<std::vector<Entry>>();
  entries->push_back({.index = Index(1),
                      .type = EntryType::kCommand,
                      .payload = std::make_shared<const std::string>(size_t{1} << 20, 'x')});
  raft::Message append{
      .from = busy.id(), .to = slow.id(), .body = raft::Append{.entries = entries}};
  // In one turn, in which the sockets take nothing more.
  busy.Do([&] {
    for (int i = 0; i < 100 && busy.stats().dropped.full == 0; ++i) busy.network().Send({append});
    EXPECT_EQ(busy.stats().dropped.full, 1u);
    // It is over the bound by less than one append, so nothing else fits, not even what is small.
    EXPECT_EQ(busy.network().SendForward(slow.id(), {.id = replica::ForwardId(1)}),
              replica::ConnectionId());
    EXPECT_EQ(busy.stats().dropped.full, 2u);
  });
  // Once it reads, there is room again.
  std::string bytes;
  EXPECT_TRUE(Until([&] {
    slow.socket().Receive(bytes);
    return busy.Forward(slow.id(), {.id = replica::ForwardId(2)}) != replica::ConnectionId();
  }));
  slow.socket().Close();
  EXPECT_TRUE(Until([&] { return busy.told().closed.size() == 1; }));
}

TEST_F(HostileTest, SmallMessagesHaveAReserve) {
  Options options = QuickOptions("busy");
  options.waiting_bytes_max = 0;
  options.waiting_bytes_reserve = 1;
  PeerNode busy(options);
  RawPeer slow(busy);
  slow.Introduce();
  raft::Message heartbeat{.from = busy.id(), .to = slow.id(), .body = raft::Heartbeat{}};
  auto entries = std::make_shared<std::vector<Entry>>(1);
  entries->front().index = Index(1);
  raft::Message append = heartbeat;
  append.body = raft::Append{.entries = entries};
  // In one turn: the append finds nothing waiting; behind it there is room for nothing.
  busy.Send({append, append, heartbeat});
  EXPECT_EQ(busy.stats().dropped.full, 2u);
  // Once the turn has ended there is room again.
  EXPECT_TRUE(Until([&] {
    const uint64_t before = busy.stats().dropped.full;
    busy.Send({heartbeat});
    return busy.stats().dropped.full == before;
  }));
}

TEST_F(HostileTest, ClosesAConnectionThatIsSilent) {
  Options options = QuickOptions("careful");
  options.ping_interval = std::chrono::milliseconds(5);
  options.silent_intervals_max = 4;
  PeerNode careful(options);
  RawPeer silent(careful);
  silent.Introduce();
  EXPECT_TRUE(silent.socket().WaitForEnd());
  EXPECT_TRUE(Until([&] { return careful.told().closed.size() == 1; }));
  EXPECT_EQ(careful.stats().silent_closed, 1u);
}

TEST_F(HostileTest, ClosesADialedConnectionThatIsSilent) {
  Options options = QuickOptions("careful");
  options.ping_interval = std::chrono::milliseconds(5);
  options.silent_intervals_max = 4;
  PeerNode careful(options);
  RawListener listener;
  const raft::Member member{.id = raft::NodeIdOf("raw", "1"),
                            .name = "raw",
                            .instance_id = "1",
                            .rpc_address = "127.0.0.1:" + std::to_string(listener.port())};
  careful.Join("cluster", {careful.member(), member});
  RawSocket accepted = listener.Accept();
  proto::Frame reply;
  reply.mutable_hello_reply()->set_protocol_version(1);
  reply.mutable_hello_reply()->set_name("raw");
  reply.mutable_hello_reply()->set_instance_id("1");
  accepted.Send(std::string(kMagic) + FrameBytes(reply));
  ASSERT_TRUE(Until([&] { return careful.told().closed.size() == 1; }));
  EXPECT_EQ(careful.told().closed[0].peer, member.id);
  EXPECT_EQ(careful.stats().silent_closed, 1u);
  EXPECT_TRUE(accepted.WaitForEnd());
}

// --- Asking who is there.

TEST_F(HostileTest, IdentifySaysWhyNobodyCanBeNamed) {
  PeerNode asker(HastyOptions("asker"));
  const auto code = [&](const std::string& address) { return asker.Identify(address).status(); };
  EXPECT_EQ(code("nonsense").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("127.0.0.1:1").code(), absl::StatusCode::kUnavailable);
  RawListener listener;
  const std::string address = "127.0.0.1:" + std::to_string(listener.port());
  // The system accepts; nobody answers.
  absl::Status status = code(address);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("no answer"));
}

TEST_F(HostileTest, IdentifyKnowsAnotherProtocol) {
  RawListener listener;
  std::promise<absl::StatusOr<replica::PeerIdentity>> asked;
  node_.Do([&] {
    node_.network().Identify("127.0.0.1:" + std::to_string(listener.port()),
                             [&](absl::StatusOr<replica::PeerIdentity> identity) {
                               asked.set_value(std::move(identity));
                             });
  });
  RawSocket socket = listener.Accept();
  socket.Send("HTTP/1.1 400 Bad Request\r\n\r\n");
  const absl::Status status = asked.get_future().get().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("does not speak the protocol"));
}

TEST_F(HostileTest, IdentifiesABoundedNumberAtOnce) {
  Options options = HastyOptions("asker");
  options.identify_max = 1;
  PeerNode asker(options);
  RawListener listener;
  const std::string address = "127.0.0.1:" + std::to_string(listener.port());
  std::promise<absl::Status> first;
  std::promise<absl::Status> second;
  asker.Do([&] {
    asker.network().Identify(address, [&](const auto& got) { first.set_value(got.status()); });
    asker.network().Identify(address, [&](const auto& got) { second.set_value(got.status()); });
  });
  EXPECT_EQ(second.get_future().get().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(first.get_future().get().code(), absl::StatusCode::kUnavailable);
}

// A node that meets another one at a member's address says so, and once only.
TEST_F(HostileTest, SaysWhyAMemberCannotBeReached) {
  PeerNode other(QuickOptions("other"));
  raft::Member wrong = other.member();
  wrong.name = "expected";
  wrong.id = raft::NodeIdOf("expected", "1");
  node_.Join("cluster", {node_.member(), wrong});
  EXPECT_TRUE(Until([&] { return node_.stats().dials_failed >= 3; }));
  EXPECT_THAT(node_.StatsOf(wrong.id).last_error,
              HasSubstr("refused (not-me): this is other, not expected"));
  EXPECT_FALSE(node_.StatsOf(wrong.id).is_connected_out);
  EXPECT_GE(other.stats().refused.at("not-me"), 3u);
}

}  // namespace
}  // namespace mokv::peer
