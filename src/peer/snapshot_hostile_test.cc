// Connections for snapshots with peers that send what does not belong there, stall, or are old.
#include <gtest/gtest.h>

#include <limits>

#include "base/testing/fake_clock.h"
#include "peer/peer_network.h"
#include "peer/testing/peer_node.h"
#include "peer/testing/raw_peer.h"

namespace mokv::peer {
namespace {

using net::RawListener;
using net::Until;
using replica::kSnapshotChunkBytesMax;

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

proto::Frame ReadFrame(uint64_t offset = 0, uint64_t bytes_max = kSnapshotChunkBytesMax) {
  proto::Frame frame;
  proto::SnapshotRead& read = *frame.mutable_snapshot_read();
  read.mutable_last()->set_index(5);
  read.mutable_last()->set_term(1);
  read.set_offset(offset);
  read.set_bytes_max(bytes_max);
  return frame;
}

proto::Frame ChunkFrame(uint64_t offset, uint64_t file_bytes) {
  proto::Frame frame;
  proto::SnapshotChunk& chunk = *frame.mutable_snapshot_chunk();
  chunk.mutable_last()->set_index(5);
  chunk.mutable_last()->set_term(1);
  chunk.set_offset(offset);
  chunk.set_file_bytes(file_bytes);
  return frame;
}

class SnapshotHostileTest : public testing::Test {
 protected:
  PeerNode node_{QuickOptions("node")};
};

TEST_F(SnapshotHostileTest, UnderstandsAnAskerByHand) {
  node_.ServeSnapshot("0123456789");
  RawPeer asker(node_, Purpose::kSnapshots);
  asker.Introduce();
  proto::Frame ping;
  ping.mutable_ping()->set_id(77);
  asker.Send(ping);
  EXPECT_EQ(asker.Receive().pong().id(), 77u);
  // What is not known is ignored.
  asker.Send(proto::Frame());
  proto::Frame group = ReadFrame();
  group.set_group(4);
  asker.Send(group);
  asker.Send(ReadFrame(4, 3));
  const proto::Frame answer = asker.Receive();
  EXPECT_EQ(answer.snapshot_chunk().offset(), 4u);
  EXPECT_EQ(answer.snapshot_chunk().file_bytes(), 10u);
  EXPECT_EQ(node_.stats().unknown, 2u);
  EXPECT_EQ(node_.stats().malformed, 0u);
}

// Goal:   only questions are taken on such a connection, and none on others; what is malformed ends
//         its own connection, and not the other one of the same node.
TEST_F(SnapshotHostileTest, MalformedFramesEndTheirConnectionAlone) {
  RawPeer main(node_);
  main.Introduce();
  uint64_t malformed = 0;
  const auto expect_end = [&](Purpose purpose, const proto::Frame& frame,
                              const std::string& attachment = "") {
    RawPeer peer(node_, purpose, purpose == Purpose::kMessages ? "other" : "raw");
    peer.Introduce();
    peer.Send(frame, attachment);
    EXPECT_TRUE(peer.socket().WaitForEnd()) << frame.body_case();
    EXPECT_EQ(node_.stats().malformed, ++malformed) << frame.body_case();
  };
  proto::Frame forward;
  forward.mutable_forward();
  proto::Frame forward_answer;
  forward_answer.mutable_forward_answer();
  proto::Frame goodbye;
  goodbye.mutable_goodbye();
  proto::Frame pong;
  pong.mutable_pong();
  proto::Frame no_end = ReadFrame();
  no_end.mutable_snapshot_read()->mutable_last()->clear_term();
  for (const proto::Frame& frame :
       {main.Heartbeat(1), main.hello_frame(), forward, forward_answer, goodbye, pong, no_end,
        ChunkFrame(0, 0), ReadFrame(0, kSnapshotChunkBytesMax + 1), ReadFrame(kMost, 1)}) {
    expect_end(Purpose::kSnapshots, frame);
  }
  expect_end(Purpose::kSnapshots, ReadFrame(), "x");
  expect_end(Purpose::kMessages, ReadFrame());
  expect_end(Purpose::kMessages, ChunkFrame(0, 1), "x");

  EXPECT_TRUE(node_.told().reads.empty());
  EXPECT_TRUE(node_.told().chunks.empty());
  EXPECT_TRUE(Until([&] { return node_.stats().snapshots.open == 0; }));
  main.Send(main.Heartbeat(2));
  EXPECT_TRUE(Until([&] { return node_.told().messages.size() == 1; }));
}

TEST_F(SnapshotHostileTest, ANewerConnectionOfANodeTakesThePlaceOfTheOlder) {
  RawPeer main(node_);
  main.Introduce();
  RawPeer older(node_, Purpose::kSnapshots);
  older.Introduce();
  RawPeer newer(node_, Purpose::kSnapshots);
  newer.Introduce();
  EXPECT_TRUE(older.socket().WaitForEnd());
  newer.Send(ReadFrame());
  EXPECT_TRUE(Until([&] { return node_.told().reads.size() == 1; }));
  EXPECT_EQ(node_.stats().snapshots.open, 1u);
  main.Send(main.Heartbeat(1));
  EXPECT_TRUE(Until([&] { return node_.told().messages.size() == 1; }));
  EXPECT_TRUE(node_.told().closed.empty());
  EXPECT_EQ(node_.stats().open, 1u);
}

TEST_F(SnapshotHostileTest, RefusesMoreConnectionsThanItsLimit) {
  Options options = QuickOptions("small");
  options.snapshot_incoming_max = 1;
  options.incoming_max = 1;
  PeerNode small(options);
  RawPeer first(small, Purpose::kSnapshots, "first");
  first.Introduce();
  RawPeer second(small, Purpose::kSnapshots, "second");
  second.SendHello();
  EXPECT_EQ(second.Receive().hello_reply().refusal(), proto::HelloReply::FULL);
  RawPeer again(small, Purpose::kSnapshots, "first");
  again.Introduce();
  // Messages have their own.
  RawPeer main(small, Purpose::kMessages, "second");
  main.Introduce();
}

TEST_F(SnapshotHostileTest, RefusesASecondProcessOfANode) {
  RawPeer main(node_);
  main.hello().set_process_id(1);
  main.Introduce();
  RawPeer copy(node_, Purpose::kSnapshots);
  copy.hello().set_process_id(2);
  copy.SendHello();
  EXPECT_EQ(copy.Receive().hello_reply().refusal(), proto::HelloReply::DUPLICATE);
}

// Goal:   who asks for much and reads nothing costs no more than the bound, and holds up nobody.
TEST_F(SnapshotHostileTest, DropsAnswersThatAreNotRead) {
  Options options = QuickOptions("busy");
  options.snapshot_waiting_bytes_max = size_t{2} << 20;
  PeerNode busy(options);
  busy.ServeSnapshot(std::string(kSnapshotChunkBytesMax, 'x'));
  RawPeer main(busy);
  main.Introduce();
  RawPeer slow(busy, Purpose::kSnapshots);
  slow.Introduce();
  uint64_t asked = 0;
  EXPECT_TRUE(Until([&] {
    slow.Send(ReadFrame());
    ++asked;
    return busy.stats().dropped.full > 0;
  }));
  // Messages of the same node go on.
  busy.Send(
      {{.from = busy.id(), .to = main.id(), .body = raft::Heartbeat{.round = raft::Round(9)}}});
  EXPECT_EQ(main.Receive().raft().heartbeat().round(), 9u);
  // Once it reads there is room again.
  const uint64_t answered = busy.stats().snapshots.bytes_out;
  EXPECT_TRUE(Until([&] {
    std::string bytes;
    slow.socket().Receive(bytes);
    slow.Send(ReadFrame());
    return busy.stats().snapshots.bytes_out > answered;
  }));
  EXPECT_TRUE(busy.told().closed.empty());
}

TEST_F(SnapshotHostileTest, ClosesAConnectionThatIsSilent) {
  Options options = QuickOptions("careful");
  options.ping_interval = std::chrono::milliseconds(5);
  options.silent_intervals_max = 4;
  PeerNode careful(options);
  RawPeer silent(careful, Purpose::kSnapshots);
  silent.Introduce();
  EXPECT_TRUE(silent.socket().WaitForEnd());
  EXPECT_EQ(careful.stats().silent_closed, 1u);

  EXPECT_TRUE(careful.told().closed.empty());
}

// Goal:   who asks is the one to hang up; only one that never does is hung up on.
TEST_F(SnapshotHostileTest, ClosesAConnectionByWhichNothingIsAskedFor) {
  FakeClock clock;
  const Options options = QuickOptions("patient");
  PeerNode patient(options, 0, nullptr, clock);
  RawPeer idle(patient, Purpose::kSnapshots);
  idle.Introduce();
  RawPeer main(patient);
  main.Introduce();
  patient.Do([&] { clock.now = clock.now + options.snapshot_idle + std::chrono::seconds(1); });
  idle.Send(ReadFrame());
  EXPECT_TRUE(Until([&] { return patient.told().reads.size() == 1; }));
  patient.Do([&] { clock.now = clock.now + 2 * options.snapshot_idle; });
  EXPECT_TRUE(idle.socket().WaitForEnd());
  EXPECT_EQ(patient.stats().silent_closed, 0u);
  EXPECT_TRUE(patient.told().closed.empty());
}

// A member by hand, for a node that dials it.
class RawMember {
 public:
  raft::Member member() const {
    return {.id = raft::NodeIdOf("raw", "1"),
            .name = "raw",
            .instance_id = "1",
            .rpc_address = "127.0.0.1:" + std::to_string(listener_.port())};
  }
  // The next connection, after its greeting.
  RawFrames Accept(proto::Hello& hello) {
    RawFrames accepted(listener_.Accept());
    hello = accepted.Receive().hello();
    return accepted;
  }
  static proto::Frame Welcome(uint32_t version) {
    proto::Frame frame;
    proto::HelloReply& reply = *frame.mutable_hello_reply();
    reply.set_protocol_version(version);
    reply.set_name("raw");
    reply.set_instance_id("1");
    return frame;
  }
  // The next connection, welcomed. It is for `purpose`.
  RawFrames Welcomed(Purpose purpose) {
    proto::Hello hello;
    RawFrames accepted = Accept(hello);
    EXPECT_EQ(PurposeOf(hello), purpose);
    accepted.SendFirst(Welcome(2));
    return accepted;
  }

 private:
  RawListener listener_;
};

TEST_F(SnapshotHostileTest, MalformedAnswersEndTheirConnectionAlone) {
  RawMember raw;
  node_.Join("cluster", {node_.member(), raw.member()});
  RawFrames main = raw.Welcomed(Purpose::kMessages);
  ASSERT_TRUE(Until([&] { return node_.StatsOf(raw.member().id).is_connected_out; }));
  const auto ask = [&] { return node_.Read(raw.member().id, {.last = {Index(5), Term(1)}}); };
  EXPECT_FALSE(ask());

  proto::Frame heartbeat;
  heartbeat.mutable_raft()->mutable_heartbeat();
  proto::Frame ping;
  ping.mutable_ping();
  proto::Frame goodbye;
  goodbye.mutable_goodbye();
  const std::string large(kSnapshotChunkBytesMax + 1, 'x');
  const std::vector<std::pair<proto::Frame, std::string>> malformed = {
      {heartbeat, ""},
      {ping, ""},
      {goodbye, ""},
      {ReadFrame(), ""},
      {ChunkFrame(8, 10), "abc"},
      {ChunkFrame(kMost, 10), "abc"},
      {ChunkFrame(0, 0), "abc"},
      {ChunkFrame(0, kMost), large},
  };
  for (size_t i = 0; i < malformed.size(); ++i) {
    RawFrames source = raw.Welcomed(Purpose::kSnapshots);
    ASSERT_TRUE(Until(ask));
    source.Send(ChunkFrame(7, 10), "abc");
    source.Send(malformed[i].first, malformed[i].second);
    EXPECT_TRUE(source.socket().WaitForEnd()) << i;
    EXPECT_TRUE(Until([&] { return node_.stats().malformed == i + 1; })) << i;
  }
  EXPECT_EQ(node_.told().chunks.size(), malformed.size());
  EXPECT_TRUE(node_.told().closed.empty());
  EXPECT_EQ(node_.stats().open, 1u);
}

// Goal:   a node of version 1 is connected as ever, and is never taken in by a greeting whose
//         purpose it does not see.
TEST_F(SnapshotHostileTest, AnOlderNodeIsNotAskedAndStaysConnected) {
  RawMember old;
  node_.Join("cluster", {node_.member(), old.member()});
  proto::Hello hello;
  RawFrames main = old.Accept(hello);
  EXPECT_EQ(hello.protocol_version_min(), 1u);
  main.SendFirst(RawMember::Welcome(1));
  ASSERT_TRUE(Until([&] { return node_.StatsOf(old.member().id).is_connected_out; }));

  EXPECT_FALSE(node_.Read(old.member().id, {.last = {Index(5), Term(1)}}));
  RawFrames refused = old.Accept(hello);
  EXPECT_EQ(hello.protocol_version_min(), 2u);  // So it answers as it must.
  proto::Frame refusal;
  refusal.mutable_hello_reply()->set_refusal(proto::HelloReply::VERSION);
  refused.SendFirst(refusal);
  EXPECT_TRUE(refused.socket().WaitForEnd());
  // Nor would a wrong answer be believed.
  RawFrames wrong = old.Accept(hello);
  wrong.SendFirst(RawMember::Welcome(1));
  EXPECT_TRUE(wrong.socket().WaitForEnd());

  EXPECT_FALSE(node_.Read(old.member().id, {.last = {Index(5), Term(1)}}));
  EXPECT_TRUE(node_.StatsOf(old.member().id).is_connected_out);
  EXPECT_EQ(node_.stats().snapshots.opened, 0u);
  EXPECT_TRUE(node_.told().closed.empty());

  // The other way round: it connects, and everything but snapshots is said.
  RawPeer older(node_, Purpose::kMessages, "older");
  older.hello().set_protocol_version_max(1);
  older.Introduce();
  older.Send(older.Heartbeat(1));
  EXPECT_TRUE(Until([&] { return node_.told().messages.size() == 1; }));
}

}  // namespace
}  // namespace mokv::peer
