// Nodes that read each other's snapshots, over connections of their own.
#include <gtest/gtest.h>

#include "base/testing/fake_clock.h"
#include "peer/peer_network.h"
#include "peer/testing/peer_node.h"
#include "peer/testing/raw_peer.h"

namespace mokv::peer {
namespace {

using net::Until;
using replica::kSnapshotChunkBytesMax;
using replica::SnapshotChunk;
using replica::SnapshotRead;

const raft::Position kLast = {Index(90), Term(3)};

SnapshotRead ReadAt(uint64_t offset, uint64_t bytes_max = kSnapshotChunkBytesMax) {
  return {.last = kLast, .offset = offset, .bytes_max = bytes_max};
}

// Bytes that differ from place to place.
std::string FileOf(size_t size) {
  std::string file;
  for (size_t i = 0; file.size() < size; ++i) file += std::to_string(i * i) + ' ';
  file.resize(size);
  return file;
}

class SnapshotTest : public testing::Test {
 protected:
  void Connect(PeerNode& a, PeerNode& b) {
    for (PeerNode* node : {&a, &b}) node->Join("cluster", {a.member(), b.member()});
    EXPECT_TRUE(Until([&] { return a.Reaches(b) && b.Reaches(a); }));
    EXPECT_TRUE(Until([&] { return a.IsReachedBy(b) && b.IsReachedBy(a); }));
  }
  // As a follower does: again and again, until the question is on its way.
  static bool Ask(PeerNode& asker, const PeerNode& source, const SnapshotRead& read) {
    return Until([&] { return asker.Read(source.id(), read); });
  }
  static bool HasTwoConnections(const PeerNode& node) {
    const Stats stats = node.stats();
    return stats.open == 2 && stats.opened_out == 1 && stats.opened_in == 1 && stats.closed == 0;
  }

  PeerNode a_{QuickOptions("a")};
  PeerNode b_{QuickOptions("b")};
};

TEST_F(SnapshotTest, QuestionsAndPartsTravel) {
  Connect(a_, b_);
  EXPECT_FALSE(a_.Read(b_.id(), ReadAt(5, 100)));  // It is only being dialed.
  ASSERT_TRUE(Ask(a_, b_, ReadAt(5, 100)));
  ASSERT_TRUE(Until([&] { return !b_.told().reads.empty(); }));
  const Told::Read got = b_.told().reads[0];
  EXPECT_EQ(got.from, a_.id());
  EXPECT_EQ(got.read.last, kLast);
  EXPECT_EQ(got.read.offset, 5u);
  EXPECT_EQ(got.read.bytes_max, 100u);

  b_.Do([&] {
    b_.network().AnswerSnapshotRead(got.connection,
                                    {.last = kLast, .offset = 5, .file_bytes = 9, .bytes = "abcd"});
    b_.network().AnswerSnapshotRead(got.connection, {.last = kLast, .offset = 5});
  });
  ASSERT_TRUE(Until([&] { return a_.told().chunks.size() == 2; }));
  const std::vector<Told::Chunk> chunks = a_.told().chunks;
  EXPECT_EQ(chunks[0].from, b_.id());
  EXPECT_EQ(chunks[0].chunk.last, kLast);
  EXPECT_EQ(chunks[0].chunk.offset, 5u);
  EXPECT_EQ(chunks[0].chunk.file_bytes, 9u);
  EXPECT_EQ(chunks[0].chunk.bytes, "abcd");
  EXPECT_EQ(chunks[1].chunk.offset, 5u);
  EXPECT_EQ(chunks[1].chunk.file_bytes, 0u);

  for (const PeerNode* node : {&a_, &b_}) {
    EXPECT_EQ(node->stats().snapshots.open, 1u);
    EXPECT_EQ(node->stats().snapshots.opened, 1u);
    EXPECT_TRUE(HasTwoConnections(*node));
  }
  EXPECT_EQ(a_.stats().snapshots.bytes_in, 4u);
  EXPECT_EQ(b_.stats().snapshots.bytes_out, 4u);
}

TEST_F(SnapshotTest, BothMayAskEachOther) {
  Connect(a_, b_);
  a_.ServeSnapshot("of a");
  b_.ServeSnapshot("of b");
  ASSERT_TRUE(Ask(a_, b_, ReadAt(0)));
  ASSERT_TRUE(Ask(b_, a_, ReadAt(0)));
  ASSERT_TRUE(Until([&] { return a_.told().chunks.size() == 1 && b_.told().chunks.size() == 1; }));
  EXPECT_EQ(a_.told().chunks[0].chunk.bytes, "of b");
  EXPECT_EQ(b_.told().chunks[0].chunk.bytes, "of a");
  EXPECT_EQ(a_.stats().snapshots.open, 2u);
}

// Goal:   a large file arrives as it is, while Raft's messages come and go.
TEST_F(SnapshotTest, ALargeFileTravelsBesideMessages) {
  const std::string file = FileOf((size_t{20} << 20) + 12'345);
  Connect(a_, b_);
  b_.ServeSnapshot(file);
  uint64_t sent = 0;
  constexpr size_t kAtOnce = 8;
  for (size_t offset = 0; offset < file.size();) {
    for (size_t i = 0; i < kAtOnce && offset < file.size(); ++i) {
      ASSERT_TRUE(Ask(a_, b_, ReadAt(offset)));
      offset = std::min(offset + kSnapshotChunkBytesMax, file.size());
      b_.Send({MessageTo(b_, a_, ++sent)});
    }
    ASSERT_TRUE(Until([&] { return a_.stats().snapshots.bytes_in == offset; }));
  }
  std::string read;
  for (const Told::Chunk& chunk : a_.told().chunks) {
    EXPECT_EQ(chunk.chunk.offset, read.size());
    read += chunk.chunk.bytes;
  }
  EXPECT_TRUE(read == file);
  EXPECT_TRUE(Until([&] { return a_.told().messages.size() == sent; }));
  EXPECT_TRUE(HasTwoConnections(a_));
  EXPECT_EQ(a_.stats().dropped.full + b_.stats().dropped.full, 0u);
}

TEST_F(SnapshotTest, SmallPartsTravelInLargeNumbers) {
  const std::string file = FileOf(5000);
  Connect(a_, b_);
  b_.ServeSnapshot(file);
  ASSERT_TRUE(Ask(a_, b_, ReadAt(0, 1)));
  a_.Do([&] {
    for (size_t i = 1; i < file.size(); ++i) {
      EXPECT_TRUE(a_.network().SendSnapshotRead(b_.id(), ReadAt(i, 1)));
    }
  });
  ASSERT_TRUE(Until([&] { return a_.stats().snapshots.bytes_in == file.size(); }));
  std::string read;
  for (const Told::Chunk& chunk : a_.told().chunks) read += chunk.chunk.bytes;
  EXPECT_EQ(read, file);
}

// Goal:   an empty node, which knows of no members, reads the snapshot of the leader that adds it.
// Method: it knows the leader by the connection that the leader has made, and by the address that
//         it said there.
TEST_F(SnapshotTest, AnEmptyLearnerReadsFromItsLeader) {
  a_.ServeSnapshot("everything");
  a_.Join("cluster", {a_.member(), b_.member()});
  ASSERT_TRUE(Until([&] { return b_.IsReachedBy(a_) && a_.Reaches(b_); }));
  ASSERT_TRUE(Ask(b_, a_, ReadAt(0)));
  ASSERT_TRUE(Until([&] { return b_.told().chunks.size() == 1; }));
  EXPECT_EQ(b_.told().chunks[0].from, a_.id());
  EXPECT_EQ(b_.told().chunks[0].chunk.bytes, "everything");
  EXPECT_EQ(a_.told().reads[0].from, b_.id());
  // That is no reason to send it anything else.
  EXPECT_FALSE(b_.Reaches(a_));
  EXPECT_FALSE(a_.IsReachedBy(b_));
  // What it has read makes it a member, which changes nothing for what it still reads.
  b_.Join("cluster", {a_.member(), b_.member()});
  ASSERT_TRUE(Until([&] { return b_.Reaches(a_); }));
  EXPECT_TRUE(b_.Read(a_.id(), ReadAt(1)));
  ASSERT_TRUE(Until([&] { return b_.told().chunks.size() == 2; }));
  EXPECT_EQ(a_.stats().snapshots.opened, 1u);
}

TEST_F(SnapshotTest, AStrangerIsNotAsked) {
  EXPECT_FALSE(b_.Read(a_.id(), ReadAt(0)));
  EXPECT_EQ(b_.stats().dials_failed, 0u);
  EXPECT_EQ(b_.stats().snapshots.opened, 0u);
}

TEST_F(SnapshotTest, AMemberIsAskedWhereItWasFound) {
  raft::Member elsewhere = b_.member();
  elsewhere.rpc_address = "127.0.0.1:1";  // Nobody listens there.
  a_.Do([&] { a_.network().SetAddressHints({{b_.id(), b_.member().rpc_address}}); });
  a_.Join("cluster", {a_.member(), elsewhere});
  ASSERT_TRUE(Until([&] { return a_.Reaches(b_); }));
  const uint64_t failed = a_.stats().dials_failed;
  EXPECT_TRUE(Ask(a_, b_, ReadAt(0)));
  EXPECT_EQ(a_.stats().dials_failed, failed);
}

// Goal:   a node that is asked again after its connection broke is dialed anew, and nobody is told
//         that anything else has broken.
// Method: a newer connection of the same node, which breaks the older one.
TEST_F(SnapshotTest, ABrokenConnectionIsDialedAnew) {
  Options options = QuickOptions("c");
  options.process_id = 7;
  PeerNode c(options);
  Connect(c, b_);
  b_.ServeSnapshot("file");
  ASSERT_TRUE(Ask(c, b_, ReadAt(0)));
  ASSERT_TRUE(Until([&] { return c.told().chunks.size() == 1; }));

  RawPeer newer(b_, Purpose::kSnapshots, "c");
  newer.hello().set_process_id(7);
  newer.Introduce();
  // Since c asked a moment ago, it connects again, and in turn takes the newer one's place.
  EXPECT_TRUE(newer.socket().WaitForEnd());
  ASSERT_TRUE(Ask(c, b_, ReadAt(1)));
  ASSERT_TRUE(Until([&] { return c.told().chunks.size() == 2; }));
  EXPECT_EQ(c.told().chunks[1].chunk.bytes, "ile");
  EXPECT_EQ(c.stats().snapshots.opened, 2u);
  EXPECT_EQ(b_.stats().snapshots.opened, 3u);
  EXPECT_EQ(b_.stats().snapshots.open, 1u);
  EXPECT_EQ(b_.stats().replaced, 2u);
  for (const PeerNode* node : {&b_, &c}) {
    EXPECT_TRUE(node->told().closed.empty());
    EXPECT_TRUE(HasTwoConnections(*node));
  }
}

TEST_F(SnapshotTest, AnAnswerToAConnectionThatIsGoneIsDropped) {
  b_.Do([&] { b_.network().AnswerSnapshotRead(replica::ConnectionId(77), {.last = kLast}); });
  EXPECT_EQ(b_.stats().dropped.unconnected, 1u);
}

// Goal:   a connection lives as long as somebody asks, and ends when nobody has for snapshot_idle.
TEST_F(SnapshotTest, ConnectionsEndWhenNothingIsAskedFor) {
  FakeClock clock;
  const Options options = QuickOptions("c");
  PeerNode c(options, 0, nullptr, clock);
  const auto pass = [&](Duration duration) { c.Do([&] { clock.now = clock.now + duration; }); };
  // Each begins with a ping.
  const auto wait_for_ticks = [&] {
    const uint64_t rounds = c.StatsOf(b_.id()).round_trips.count;
    EXPECT_TRUE(Until([&] { return c.StatsOf(b_.id()).round_trips.count > rounds + 2; }));
  };
  Connect(c, b_);
  for (uint64_t opened = 1; opened <= 2; ++opened) {
    ASSERT_TRUE(Ask(c, b_, ReadAt(0)));
    for (int i = 0; i < 3; ++i) {
      pass(options.snapshot_idle - std::chrono::milliseconds(1));
      wait_for_ticks();
      EXPECT_TRUE(c.Read(b_.id(), ReadAt(0)));
    }
    EXPECT_EQ(c.stats().snapshots.opened, opened);
    pass(options.snapshot_idle);
    EXPECT_TRUE(Until([&] { return c.stats().snapshots.open == 0; }));
    EXPECT_TRUE(Until([&] { return b_.stats().snapshots.open == 0; }));
  }
  for (const PeerNode* node : {&b_, &c}) {
    EXPECT_TRUE(node->told().closed.empty());
    EXPECT_TRUE(HasTwoConnections(*node));
  }
}

TEST_F(SnapshotTest, NodesOfAnotherClusterAreNotAsked) {
  a_.Join("cluster", {a_.member(), b_.member()});
  ASSERT_TRUE(Until([&] { return b_.IsReachedBy(a_); }));
  ASSERT_TRUE(Ask(b_, a_, ReadAt(0)));
  ASSERT_TRUE(Until([&] { return a_.stats().snapshots.open == 1; }));
  // The node turns out to be of another one.
  b_.Join("other", {b_.member(), a_.member()});
  EXPECT_TRUE(Until([&] { return a_.stats().snapshots.open == 0; }));
  EXPECT_TRUE(Until([&] {
    EXPECT_FALSE(b_.Read(a_.id(), ReadAt(0)));
    return a_.stats().refused["cluster"] > 5;
  }));
  RawPeer foreign(a_, Purpose::kSnapshots);
  foreign.hello().set_cluster_id("third");
  foreign.SendHello();
  EXPECT_EQ(foreign.Receive().hello_reply().refusal(), proto::HelloReply::CLUSTER);
}

TEST_F(SnapshotTest, StopEndsThem) {
  Connect(a_, b_);
  ASSERT_TRUE(Ask(a_, b_, ReadAt(0)));
  ASSERT_TRUE(Ask(b_, a_, ReadAt(0)));
  a_.Do([&] { a_.network().Stop(); });
  EXPECT_EQ(a_.stats().snapshots.open, 0u);
  EXPECT_TRUE(Until([&] { return b_.stats().snapshots.open == 0; }));
  EXPECT_FALSE(a_.Read(b_.id(), ReadAt(0)));
}

}  // namespace
}  // namespace mokv::peer
