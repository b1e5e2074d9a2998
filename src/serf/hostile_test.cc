// What strangers may do to a cluster without a key, and what it must not lead to: everything here
// is dropped and counted, memory stays bounded, and the cluster goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serf/lzw.h"
#include "serf/packet.h"
#include "serf/protocol.h"
#include "serf/stream.h"
#include "serf/testing/sim_cluster.h"
#include "serf/testing/vectors.h"

namespace mokv::serf {
namespace {

using std::chrono::seconds;

constexpr std::string_view kVsn("\x01\x05\x02\x02\x05\x05", 6);
constexpr uint64_t kSeed = 99;

class Hostile : public testing::Test {
 protected:
  Hostile() : cluster_(kSeed) {
    Options options;
    options.members_max = 100;
    for (int i = 0; i < 4; ++i) cluster_.AddNode(options);
    for (size_t i = 1; i < 4; ++i) cluster_.Join(i, 0);
    EXPECT_TRUE(cluster_.RunUntilTrue([&] { return AllAlive(); }, seconds(10)));
    cluster_.on_member = [this](size_t, const MemberEvent& event) {
      if (event.change == MemberChange::kFailed || event.change == MemberChange::kLeave) {
        ++losses_[event.member.name];
      }
    };
  }
  // Nothing of a test may harm the cluster for good.
  void TearDown() override {
    EXPECT_TRUE(cluster_.RunUntilTrue([&] { return AllAlive(); }, seconds(90)));
    bool heard = false;
    cluster_.on_event = [&](size_t by, const Event& event) {
      heard |= by == 3 && std::holds_alternative<UserEvent>(event);
    };
    EXPECT_TRUE(cluster_.node(1).SendUserEvent(cluster_.now(), "still-there", "").ok());
    cluster_.Flush(1);
    EXPECT_TRUE(cluster_.RunUntilTrue([&] { return heard; }, seconds(40)));
  }

  bool AllAlive() {
    for (size_t i = 0; i < 4; ++i) {
      for (size_t j = 0; j < 4; ++j) {
        if (cluster_.node(i).StatusOf(cluster_.name(j)) != MemberStatus::kAlive) return false;
      }
    }
    return true;
  }
  uint64_t Dropped(size_t node, Drop reason) {
    return cluster_.node(node).stats().dropped[static_cast<size_t>(reason)];
  }
  static std::string Addr(int last) { return {10, 9, 9, static_cast<char>(last)}; }
  Alive AliveOf(std::string_view name, std::string_view addr, uint32_t incarnation) {
    return {.incarnation = incarnation,
            .node = name,
            .addr = addr,
            .port = 7946,
            .meta = "\xff\x80",
            .vsn = kVsn};
  }
  std::string User(const std::string& serf) { return "\x08" + serf; }

  SimCluster cluster_;
  std::map<std::string, int> losses_;
};

// The packets that bring other agents down, each from the reference's list.
TEST_F(Hostile, PacketsThatCrashOthersAreDropped) {
  const std::string addr = Addr(1);
  for (size_t size = 0; size < 6; ++size) {
    Alive alive = AliveOf("stranger", addr, 1);
    alive.vsn = kVsn.substr(0, size);
    cluster_.Inject(0, Encode(alive));
    // The same in a list.
    cluster_.InjectStream(0, Encode(false, {{.alive = alive}}, {}));
  }
  EXPECT_EQ(Dropped(0, Drop::kVersions), 12u);
  EXPECT_EQ(cluster_.node(0).StatusOf("stranger"), MemberStatus::kNone);

  const std::string empty_part("\x07\x01\x00\x00", 4);
  cluster_.Inject(0, empty_part);
  const std::string nothing = *CompressMessage("", /*always=*/true);
  cluster_.Inject(0, nothing);
  EXPECT_EQ(Dropped(0, Drop::kMalformed), 2u);
  EXPECT_TRUE(cluster_.InjectStream(0, nothing).has_value());  // An error frame.
  std::string negative = "\x06";
  MsgpackWriter writer(&negative);
  writer.Map(2);
  writer.Raw("Nodes");
  writer.Int(-1);
  writer.Raw("UserStateLen");
  writer.Int(-7);
  EXPECT_EQ(StreamReader(1 << 20).Feed(negative), StreamReader::Result::kMalformed);
  EXPECT_FALSE(cluster_.InjectStream(0, negative).has_value());

  QueryMessage query{.ltime = 5, .id = 1, .addr = addr, .port = 1, .name = "q"};
  query.filters = {""};
  cluster_.Inject(0, User(Encode(query)));
  for (const char* name : {"_serf_install-key", "_serf_use-key", "_serf_remove-key"}) {
    cluster_.Inject(0,
                    User(Encode(QueryMessage{.ltime = 5, .addr = addr, .port = 1, .name = name})));
  }
  EXPECT_EQ(cluster_.node(0).stats().queued_queries, 0u) << "passed on to others";
}

TEST_F(Hostile, ForgedDeathsAndLeavesAreRefuted) {
  const std::string victim = cluster_.name(2);
  for (uint32_t round = 0; round < 5; ++round) {
    const uint32_t incarnation = cluster_.node(2).incarnation();
    cluster_.Inject(0, Encode(Dead{.incarnation = incarnation, .node = victim, .from = "evil"}));
    cluster_.Inject(1, Encode(Dead{.incarnation = incarnation, .node = victim, .from = victim}));
    cluster_.Inject(0, User(Encode(LeaveIntent{
                           .ltime = cluster_.node(2).clock() + 3, .node = victim, .prune = true})));
    EXPECT_TRUE(cluster_.RunUntilTrue([&] { return AllAlive(); }, seconds(10))) << round;
  }
  EXPECT_GT(cluster_.node(2).stats().refutations, 0u);
}

TEST_F(Hostile, AbsurdIncarnationsAreDropped) {
  const std::string victim = cluster_.name(2);
  const std::string addr = cluster_.node(2).advertise().addr;
  for (const uint32_t incarnation : {0xffffffffu, 0xfffffffeu, 0x80000000u}) {
    for (size_t to = 0; to < 4; ++to) {
      cluster_.Inject(to, Encode(AliveOf(victim, addr, incarnation)));
      cluster_.Inject(to, Encode(Dead{.incarnation = incarnation, .node = victim, .from = "evil"}));
      cluster_.Inject(to,
                      Encode(Suspect{.incarnation = incarnation, .node = victim, .from = "evil"}));
    }
  }
  EXPECT_EQ(Dropped(2, Drop::kAbsurd), 9u);
  EXPECT_EQ(Dropped(0, Drop::kAbsurd), 9u);
  EXPECT_TRUE(losses_.empty());
  // A step that is only large can be answered.
  cluster_.Inject(0, Encode(Suspect{.incarnation = 1u << 20, .node = victim, .from = "evil"}));
  EXPECT_TRUE(
      cluster_.RunUntilTrue([&] { return cluster_.node(2).incarnation() > 1u << 20; }, seconds(5)));
}

TEST_F(Hostile, AbsurdLamportTimesAreDropped) {
  const LamportTime before = cluster_.node(0).clock();
  for (const LamportTime ltime : {~LamportTime{0}, ~LamportTime{0} - 1, LamportTime{1} << 60}) {
    cluster_.Inject(0, User(Encode(JoinIntent{.ltime = ltime, .node = cluster_.name(1)})));
    cluster_.Inject(0, User(Encode(LeaveIntent{.ltime = ltime, .node = cluster_.name(1)})));
    cluster_.Inject(0, User(Encode(UserEventMessage{.ltime = ltime, .name = "e"})));
    cluster_.Inject(
        0, User(Encode(QueryMessage{.ltime = ltime, .addr = Addr(1), .port = 1, .name = "q"})));
    PushPullState state{.ltime = ltime, .event_ltime = ltime, .query_ltime = ltime};
    state.status_ltimes.emplace_back(cluster_.name(1), ltime);
    cluster_.InjectStream(0, Encode(true, {}, Encode(state)));
  }
  EXPECT_EQ(cluster_.node(0).clock(), before);
  EXPECT_EQ(Dropped(0, Drop::kAbsurd), 3u * 8);
}

TEST_F(Hostile, TenThousandMembersInOneListAreRefused) {
  std::vector<std::string> names;
  for (int i = 0; i < 10'000; ++i) names.push_back("fake-" + std::to_string(i));
  const std::string addr = Addr(1);
  std::vector<NodeRecord> nodes;
  for (const std::string& name : names) nodes.push_back({.alive = AliveOf(name, addr, 1)});
  EXPECT_FALSE(cluster_.InjectStream(0, Encode(true, nodes, {})).has_value());
  EXPECT_EQ(cluster_.node(0).Members().size(), 4u);
  // A shorter one fills the table, and no more than that; the fakes soon turn out to be dead, and
  // make room for who is real.
  nodes.resize(150);
  cluster_.InjectStream(0, Encode(true, nodes, {}));
  EXPECT_EQ(cluster_.node(0).Members().size(), 100u);
  EXPECT_EQ(Dropped(0, Drop::kTableFull), 54u);
  EXPECT_TRUE(cluster_.RunUntilTrue(
      [&] { return cluster_.node(0).CountOf(MemberStatus::kFailed) > 0; }, seconds(120)));
  Options options;
  const size_t late = cluster_.AddNode(options);
  cluster_.Join(late, 0);
  EXPECT_TRUE(cluster_.RunUntilTrue(
      [&] { return cluster_.node(0).StatusOf(cluster_.name(late)) == MemberStatus::kAlive; },
      seconds(10)));
  EXPECT_LE(cluster_.node(0).Members().size(), 100u);
  // Until the fakes are dead they take most of the gossip.
  EXPECT_TRUE(cluster_.RunUntilTrue(
      [&] {
        return cluster_.node(1).CountOf(MemberStatus::kAlive) == 5 &&
               cluster_.node(3).CountOf(MemberStatus::kAlive) == 5;
      },
      seconds(600)));
  cluster_.RunFor(seconds(30));
}

// Goal: a node that has left itself, and still answers, stays in its own full table.
TEST_F(Hostile, ALeavingNodeDoesNotMakeRoomOutOfItself) {
  cluster_.node(3).Leave(cluster_.now());
  cluster_.Flush(3);
  EXPECT_TRUE(cluster_.RunUntilTrue(
      [&] { return cluster_.node(3).StatusOf(cluster_.name(3)) == MemberStatus::kLeft; },
      seconds(10)));
  for (int i = 0; i < 200; ++i) {
    cluster_.Inject(3, Encode(AliveOf("fake-" + std::to_string(i), Addr(1), 1)));
  }
  EXPECT_EQ(cluster_.node(3).Members().size(), 100u);
  EXPECT_EQ(cluster_.node(3).StatusOf(cluster_.name(3)), MemberStatus::kLeft);
  EXPECT_GT(Dropped(3, Drop::kTableFull), 0u);
  cluster_.Kill(3);
  cluster_.Restart(3);
  cluster_.Join(3, 0);
}

TEST_F(Hostile, FloodsOfNamesIntentsEventsAndQueriesAreBounded) {
  for (int i = 0; i < 20'000; ++i) {
    const std::string name = "n" + std::to_string(i);
    cluster_.node(0).OnPacket(cluster_.now(), {}, Encode(AliveOf(name, Addr(2), 1)));
    cluster_.node(0).OnPacket(cluster_.now(), {},
                              User(Encode(JoinIntent{.ltime = 5, .node = "x" + name})));
    cluster_.node(0).OnPacket(
        cluster_.now(), {},
        User(Encode(UserEventMessage{.ltime = static_cast<LamportTime>(i / 100 + 1),
                                     .name = name,
                                     .payload = std::string(1000, 'p')})));
    cluster_.node(0).OnPacket(cluster_.now(), {},
                              User(Encode(QueryMessage{.ltime = 7,
                                                       .id = static_cast<uint32_t>(i),
                                                       .addr = Addr(3),
                                                       .port = 9,
                                                       .timeout_ns = 1LL << 60,
                                                       .name = "q"})));
    cluster_.node(0).OnPacket(
        cluster_.now(), {},
        Encode(IndirectPing{
            .seq = 1, .target = "\x0a\x09\x09\x09", .port = 1, .node = "nobody", .nack = true}));
    cluster_.node(0).TakeOutput();
  }
  const Stats stats = cluster_.node(0).stats();
  EXPECT_LE(stats.members_alive, 100u);
  EXPECT_LE(stats.queued_membership, kQueueLengthMax);
  EXPECT_LE(stats.queued_intents, kQueueLengthMax);
  EXPECT_LE(stats.queued_events, kQueueLengthMax);
  EXPECT_LE(stats.queued_queries, kQueueLengthMax);
  EXPECT_LE(stats.indirect_pings_served, kForwardedPingsMax);
  EXPECT_GT(Dropped(0, Drop::kTableFull), 0u);
  EXPECT_GT(Dropped(0, Drop::kQueueFull), 0u);
  cluster_.Flush(0);
  // What it would tell others in a push/pull stays bearable.
  PushPullState state{.ltime = 1};
  const auto reply = cluster_.InjectStream(0, Encode(false, {}, Encode(state)));
  ASSERT_TRUE(reply.has_value());
  EXPECT_LT(reply->size(), size_t{2} << 20);
}

TEST_F(Hostile, BombsAreNotUnpacked) {
  // Three packets' worth of bytes that say a megabyte.
  const std::string bomb = *CompressMessage(std::string(1 << 20, '\0'), true);
  EXPECT_LT(bomb.size(), 8192u);
  cluster_.Inject(0, bomb);
  EXPECT_EQ(Dropped(0, Drop::kTooLarge), 1u);
  // A bomb in a bomb: the inner one is never looked at beyond the packet's allowance.
  std::string nested = bomb;
  for (int i = 0; i < 10; ++i) nested = *CompressMessage(nested, true);
  cluster_.Inject(0, nested);
  EXPECT_GE(Dropped(0, Drop::kMalformed) + Dropped(0, Drop::kTooLarge), 2u);
  // Over TCP more is allowed, but not everything.
  const std::string large = *CompressMessage(std::string(kStreamBytesMax + 1, '\0'), true);
  cluster_.InjectStream(0, large);
  EXPECT_GE(Dropped(0, Drop::kTooLarge), 2u);
  // Compounds in compounds.
  std::string deep("\x00", 1);
  for (int i = 0; i < 100; ++i) {
    std::string outer("\x07\x01", 2);
    outer.push_back(static_cast<char>(deep.size() >> 8));
    outer.push_back(static_cast<char>(deep.size()));
    deep = outer + deep;
  }
  cluster_.Inject(0, deep);
}

TEST_F(Hostile, OversizedAndCutMessagesAreDropped) {
  StreamReader reader(1000);
  std::string endless("\x06\x83\xa4Join\xc3\xa5Nodes\xce\x7f\xff\xff\xff\xacUserStateLen\x00", 33);
  StreamReader::Result result = reader.Feed(endless);
  EXPECT_EQ(result, StreamReader::Result::kTooLarge);
  EXPECT_EQ(StreamReader(1000).Feed(std::string("\x0a\xff\xff\xff\xff", 5)),
            StreamReader::Result::kTooLarge);
  // Each prefix of each packet, as a packet of its own.
  for (const char* name :
       {"udp-06-compound-ack-alive-alive-join.hex", "udp-12-query-filters-crc.hex",
        "udp-30-compress.hex", "udp-25-relay.hex"}) {
    const std::string bytes = ReadVector(name);
    for (size_t size = 0; size < bytes.size(); ++size) cluster_.Inject(0, bytes.substr(0, size));
  }
  const std::string stream = ReadVector("tcp-03-pushpull-antientropy.hex");
  for (size_t size = 1; size < stream.size(); size += 3) {
    cluster_.InjectStream(0, stream.substr(0, size));
  }
}

TEST_F(Hostile, ReplaysChangeNothing) {
  std::vector<std::string> heard;
  cluster_.on_packet = [&](size_t, const OutgoingPacket& packet) { heard.push_back(packet.bytes); };
  ASSERT_TRUE(cluster_.node(0).SendUserEvent(cluster_.now(), "once", "").ok());
  cluster_.Flush(0);
  ASSERT_TRUE(cluster_.node(3).SetTags(cluster_.now(), {{"version", "1"}}).ok());
  cluster_.Flush(3);
  cluster_.RunFor(seconds(5));
  ASSERT_TRUE(cluster_.node(3).SetTags(cluster_.now(), {{"version", "2"}}).ok());
  cluster_.Flush(3);
  cluster_.RunFor(seconds(5));
  cluster_.on_packet = nullptr;
  int events = 0;
  cluster_.on_event = [&](size_t, const Event& event) {
    events += std::holds_alternative<UserEvent>(event) ? 1 : 0;
  };
  for (int round = 0; round < 2; ++round) {
    for (const std::string& packet : heard) {
      for (size_t to = 0; to < 4; ++to) cluster_.Inject(to, packet);
    }
    cluster_.RunFor(seconds(5));
  }
  EXPECT_EQ(events, 0);
  EXPECT_TRUE(losses_.empty());
  EXPECT_EQ(cluster_.node(0).Members()[3].tags, (Tags{{"version", "2"}}));
}

TEST_F(Hostile, OurNameElsewhereIsSettledByTheCluster) {
  bool lost = false;
  cluster_.on_event = [&](size_t, const Event& event) {
    lost |= std::holds_alternative<NameConflictLost>(event);
  };
  const std::string addr = Addr(7);
  for (int i = 0; i < 50; ++i) {
    for (size_t to = 0; to < 4; ++to) {
      cluster_.Inject(to, Encode(AliveOf(cluster_.name(0), addr, 5)));
    }
  }
  cluster_.RunFor(seconds(30));
  EXPECT_FALSE(lost);
  EXPECT_EQ(cluster_.node(1).Members()[0].at, cluster_.node(0).advertise());
  EXPECT_GT(cluster_.node(0).stats().name_conflicts, 0u);
}

TEST_F(Hostile, ALonelyNodeIsNotStoppedByAStrayRecord) {
  SimCluster alone(kSeed);
  alone.AddNode();
  bool lost = false;
  alone.on_event = [&](size_t, const Event& event) {
    lost |= std::holds_alternative<NameConflictLost>(event);
  };
  alone.Inject(0, Encode(AliveOf(alone.name(0), Addr(7), 5)));
  alone.RunFor(seconds(20));
  EXPECT_FALSE(lost);
}

TEST_F(Hostile, IncompatibleVersionsStayOut) {
  for (const std::string_view vsn : {std::string_view("\x00\x00\x00\x00\x00\x00", 6),
                                     std::string_view("\x01\x05\x06\x02\x05\x05", 6),
                                     std::string_view("\x03\x05\x03\x02\x05\x05", 6),
                                     std::string_view("\x05\x01\x02\x02\x05\x05", 6),
                                     std::string_view("\x02\x02\x02\x04\x04\x04", 6)}) {
    const std::string addr = Addr(1);
    Alive alive = AliveOf("odd", addr, 1);
    alive.vsn = vsn;
    cluster_.Inject(0, Encode(alive));
    EXPECT_EQ(cluster_.node(0).StatusOf("odd"), MemberStatus::kNone);
  }
  EXPECT_EQ(Dropped(0, Drop::kVersions), 5u);
}

TEST_F(Hostile, MutatedTrafficDoesNoHarm) {
  std::vector<std::string> heard;
  cluster_.on_packet = [&](size_t, const OutgoingPacket& packet) { heard.push_back(packet.bytes); };
  ASSERT_TRUE(cluster_.node(0).SendUserEvent(cluster_.now(), "e", "p").ok());
  cluster_.Flush(0);
  cluster_.RunFor(seconds(5));
  cluster_.on_packet = nullptr;
  SeededRandom random(kSeed);
  for (int i = 0; i < 100'000; ++i) {
    std::string packet = heard[random.Next() % heard.size()];
    for (uint64_t flips = 1 + random.Next() % 4; flips > 0 && !packet.empty(); --flips) {
      packet[random.Next() % packet.size()] = static_cast<char>(random.Next());
    }
    if (random.Next() % 4 == 0) packet.resize(random.Next() % (packet.size() + 1));
    // Without the checksum, which would catch nearly all of it.
    if (packet.size() > 5 && packet[0] == '\x0c') packet.erase(0, 5);
    cluster_.node(random.Next() % 4).OnPacket(cluster_.now(), {Addr(1), 7946}, packet);
    if (i % 1000 == 0) cluster_.RunFor(std::chrono::milliseconds(100));
  }
  for (size_t i = 0; i < 4; ++i) cluster_.Flush(i);
}

TEST(HostileWithKey, PlainAndForeignPacketsAreRefused) {
  SimCluster cluster(kSeed);
  Options options;
  options.keys = {std::string(32, 'k')};
  for (int i = 0; i < 3; ++i) cluster.AddNode(options);
  for (size_t i = 1; i < 3; ++i) cluster.Join(i, 0);
  cluster.RunFor(seconds(5));
  const std::string dead = Encode(Dead{.incarnation = 1, .node = cluster.name(1), .from = "evil"});
  SeededRandom random(1);
  const Keyring foreign = Keyring::Create({std::string(32, 'x')}).value();
  cluster.Inject(0, dead);
  cluster.Inject(0, foreign.Seal(dead, {}, random));
  const auto refusal = cluster.InjectStream(0, Encode(true, {}, {}));
  EXPECT_EQ(cluster.node(0).stats().dropped[static_cast<size_t>(Drop::kWrongKey)], 3u);
  EXPECT_EQ(cluster.node(0).stats().refutations, 0u);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->front(), static_cast<char>(MessageType::kEncrypt)) << "said in clear";
  EXPECT_EQ(cluster.node(0).CountOf(MemberStatus::kAlive), 3u);
}

}  // namespace
}  // namespace mokv::serf
