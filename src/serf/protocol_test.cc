// What a cluster does: joining, failing, refuting, leaving, telling. In virtual time.
#include "serf/protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "serf/testing/sim_cluster.h"

namespace mokv::serf {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

constexpr uint64_t kSeed = 4711;

// `count` nodes that joined the first one, and know each other.
class JoinedCluster : public SimCluster {
 public:
  explicit JoinedCluster(size_t count, Options options = {}, uint64_t seed = kSeed)
      : SimCluster(seed) {
    for (size_t i = 0; i < count; ++i) {
      Options own = options;
      own.tags["index"] = std::to_string(i);
      AddNode(own);
    }
    for (size_t i = 1; i < count; ++i) Join(i, 0);
    EXPECT_TRUE(RunUntilTrue([&] { return AllSeeAlive(count); }, seconds(10)));
  }

  bool AllSeeAlive(size_t count) {
    for (size_t i = 0; i < size(); ++i) {
      if (running(i) && node(i).CountOf(MemberStatus::kAlive) != count) return false;
    }
    return true;
  }
  bool AllSee(const std::string& subject, MemberStatus status) {
    for (size_t i = 0; i < size(); ++i) {
      if (running(i) && name(i) != subject && node(i).StatusOf(subject) != status) return false;
    }
    return true;
  }
};

TEST(Protocol, RefusesWhatNoClusterWouldTake) {
  SeededRandom random(1);
  const auto create = [&](Options options) {
    return Protocol::Create(options, random, {}).status();
  };
  const Endpoint at{std::string("\x7f\0\0\1", 4), 7946};
  EXPECT_TRUE(create({.name = "a", .advertise = at}).ok());
  EXPECT_FALSE(create({.name = "", .advertise = at}).ok());
  EXPECT_FALSE(create({.name = "a\nb", .advertise = at}).ok());
  EXPECT_FALSE(create({.name = "a", .advertise = {std::string(4, '\0'), 7946}}).ok());
  EXPECT_FALSE(create({.name = "a", .advertise = at, .tags = {{"t", std::string(600, 'x')}}}).ok());
  EXPECT_FALSE(create({.name = "a", .advertise = at, .keys = {"short"}}).ok());
}

TEST(Protocol, JoinedNodesKnowEachOtherWithTags) {
  JoinedCluster cluster(5);
  for (size_t i = 0; i < 5; ++i) {
    const std::vector<Member> members = cluster.node(i).Members();
    ASSERT_EQ(members.size(), 5u);
    for (size_t j = 0; j < 5; ++j) {
      EXPECT_EQ(members[j].tags.at("index"), std::to_string(j));
      EXPECT_EQ(members[j].at, cluster.node(j).advertise());
    }
  }
}

TEST(Protocol, AnIdleClusterFallsSilent) {
  JoinedCluster cluster(2);
  cluster.RunFor(seconds(20));
  const uint64_t before = cluster.packets();
  cluster.RunFor(seconds(60));
  // A ping and an ack of each node, each second, and nothing else.
  EXPECT_LE(cluster.packets() - before, 2u * 2 * 61);
  EXPECT_GE(cluster.packets() - before, 2u * 2 * 50);
}

TEST(Protocol, TagsSpread) {
  JoinedCluster cluster(4);
  ASSERT_TRUE(cluster.node(2).SetTags(cluster.now(), {{"role", "new"}}).ok());
  cluster.Flush(2);
  EXPECT_TRUE(cluster.RunUntilTrue(
      [&] {
        for (size_t i = 0; i < 4; ++i) {
          if (cluster.node(i).Members()[2].tags != Tags{{"role", "new"}}) return false;
        }
        return true;
      },
      seconds(5)));
  EXPECT_FALSE(cluster.node(2).SetTags(cluster.now(), {{"t", std::string(600, 'x')}}).ok());
}

TEST(Protocol, AKilledNodeFails) {
  for (const size_t count : {2u, 3u, 8u}) {
    JoinedCluster cluster(count);
    std::vector<MemberChange> seen;
    cluster.on_member = [&](size_t by, const MemberEvent& event) {
      if (by == 0) seen.push_back(event.change);
    };
    const std::string victim = cluster.name(count - 1);
    cluster.Kill(count - 1);
    EXPECT_TRUE(cluster.RunUntilTrue([&] { return cluster.AllSee(victim, MemberStatus::kFailed); },
                                     seconds(30)));
    EXPECT_THAT(seen, ElementsAre(MemberChange::kFailed));
  }
}

TEST(Protocol, AFailedNodeComesBack) {
  JoinedCluster cluster(3);
  const std::string victim = cluster.name(2);
  cluster.Kill(2);
  ASSERT_TRUE(cluster.RunUntilTrue([&] { return cluster.AllSee(victim, MemberStatus::kFailed); },
                                   seconds(30)));
  // By itself, without a join: the others try it again from time to time.
  cluster.Restart(2);
  EXPECT_TRUE(cluster.RunUntilTrue([&] { return cluster.AllSeeAlive(3); }, seconds(300)));
  // It had to outbid what was remembered of its former life.
  EXPECT_GT(cluster.node(2).incarnation(), 1u);
}

TEST(Protocol, AQuickRestartIsNoticedByItsTags) {
  JoinedCluster cluster(3);
  cluster.Kill(2);
  cluster.Restart(2);
  ASSERT_TRUE(cluster.node(2).SetTags(cluster.now(), {{"instance", "two"}}).ok());
  cluster.Flush(2);
  cluster.Join(2, 0);
  EXPECT_TRUE(cluster.RunUntilTrue(
      [&] {
        return cluster.node(0).Members()[2].tags == Tags{{"instance", "two"}} &&
               cluster.node(1).Members()[2].tags == Tags{{"instance", "two"}};
      },
      seconds(10)));
}

TEST(Protocol, ALeavingNodeHasLeft) {
  JoinedCluster cluster(4);
  std::vector<std::pair<size_t, MemberChange>> seen;
  cluster.on_member = [&](size_t by, const MemberEvent& event) {
    if (event.member.name == cluster.name(3)) seen.emplace_back(by, event.change);
  };
  bool done = false;
  cluster.on_event = [&](size_t by, const Event& event) {
    if (by == 3 && std::holds_alternative<LeaveDone>(event)) done = true;
  };
  const MonotonicTime begun = cluster.now();
  cluster.node(3).Leave(cluster.now());
  cluster.Flush(3);
  ASSERT_TRUE(cluster.RunUntilTrue([&] { return done; }, seconds(12)));
  EXPECT_LT(cluster.now() - begun, seconds(5));
  cluster.Kill(3);
  EXPECT_TRUE(cluster.AllSee(cluster.name(3), MemberStatus::kLeft));
  cluster.RunFor(seconds(60));
  EXPECT_TRUE(cluster.AllSee(cluster.name(3), MemberStatus::kLeft));
  // Nobody reported a failure on the way.
  for (const auto& [by, change] : seen) EXPECT_EQ(change, MemberChange::kLeave) << by;
  // And it may come back.
  cluster.Restart(3);
  cluster.Join(3, 1);
  EXPECT_TRUE(cluster.RunUntilTrue([&] { return cluster.AllSeeAlive(4); }, seconds(10)));
}

TEST(Protocol, ALonelyNodeLeavesAtOnce) {
  SimCluster cluster(kSeed);
  cluster.AddNode();
  bool done = false;
  cluster.on_event = [&](size_t, const Event& event) {
    done |= std::holds_alternative<LeaveDone>(event);
  };
  cluster.node(0).Leave(cluster.now());
  cluster.Flush(0);
  EXPECT_TRUE(done);
}

TEST(Protocol, FailedMembersCanBeMadeToLeaveAndForgotten) {
  JoinedCluster cluster(3);
  cluster.Kill(2);
  const std::string victim = cluster.name(2);
  EXPECT_FALSE(cluster.node(0).ForceLeave(cluster.now(), cluster.name(1), false).ok());
  ASSERT_TRUE(cluster.RunUntilTrue([&] { return cluster.AllSee(victim, MemberStatus::kFailed); },
                                   seconds(30)));
  ASSERT_TRUE(cluster.node(0).ForceLeave(cluster.now(), victim, false).ok());
  cluster.Flush(0);
  EXPECT_TRUE(cluster.RunUntilTrue([&] { return cluster.AllSee(victim, MemberStatus::kLeft); },
                                   seconds(5)));
  ASSERT_TRUE(cluster.node(1).ForceLeave(cluster.now(), victim, true).ok());
  cluster.Flush(1);
  EXPECT_TRUE(cluster.RunUntilTrue([&] { return cluster.AllSee(victim, MemberStatus::kNone); },
                                   seconds(5)));
}

// Goal: a node that failed and speaks again from elsewhere is taken there at once; an old record of
// where it was before, which others may still pass on, moves nobody.
TEST(Protocol, AFailedNodeIsTakenWhereItSpeaksNext) {
  JoinedCluster cluster(3);
  const std::string victim = cluster.name(2);
  cluster.Kill(2);
  ASSERT_TRUE(cluster.RunUntilTrue([&] { return cluster.AllSee(victim, MemberStatus::kFailed); },
                                   seconds(30)));
  const auto say_alive = [&](char last, uint32_t incarnation) {
    const std::string addr{10, 9, 9, last};
    cluster.Inject(0, Encode(Alive{.incarnation = incarnation,
                                   .node = victim,
                                   .addr = addr,
                                   .port = 7946,
                                   .meta = "\xff\x80",
                                   .vsn = std::string_view("\x01\x05\x02\x02\x05\x05", 6)}));
    cluster.RunFor(milliseconds(10));
  };
  say_alive(7, 1);
  EXPECT_EQ(cluster.node(0).StatusOf(victim), MemberStatus::kFailed);
  say_alive(8, 1000);
  EXPECT_EQ(cluster.node(0).StatusOf(victim), MemberStatus::kAlive);
  const auto members = cluster.node(0).Members();
  EXPECT_TRUE(std::any_of(members.begin(), members.end(), [&](const Member& member) {
    return member.name == victim && member.at.addr == std::string({10, 9, 9, 8});
  }));
}

TEST(Protocol, GoneMembersAreReaped) {
  Options options;
  options.timing.failed_timeout = seconds(60);
  JoinedCluster cluster(3, options);
  cluster.Kill(2);
  EXPECT_TRUE(cluster.RunUntilTrue(
      [&] { return cluster.AllSee(cluster.name(2), MemberStatus::kFailed); }, seconds(30)));
  EXPECT_TRUE(cluster.RunUntilTrue(
      [&] { return cluster.AllSee(cluster.name(2), MemberStatus::kNone); }, seconds(100)));
}

// Two nodes that cannot exchange datagrams: the third asks for them, or TCP does.
TEST(Protocol, IndirectPingsKeepNodesAlive) {
  JoinedCluster cluster(3);
  cluster.BlockDatagrams(0, 1);
  bool failed = false;
  cluster.on_member = [&](size_t, const MemberEvent& event) {
    failed |= event.change == MemberChange::kFailed;
  };
  cluster.RunFor(seconds(120));
  EXPECT_FALSE(failed);
  EXPECT_GT(cluster.node(0).stats().indirect_pings_sent, 0u);
  EXPECT_GT(cluster.node(2).stats().indirect_pings_served, 0u);
  EXPECT_EQ(cluster.node(0).stats().suspicions, 0u);
}

TEST(Protocol, StreamsSaveAProbeWithoutHelpers) {
  JoinedCluster cluster(2);
  cluster.BlockDatagrams(0, 1);
  cluster.RunFor(seconds(60));
  EXPECT_TRUE(cluster.AllSeeAlive(2));
  EXPECT_GT(cluster.node(0).stats().probes_saved_by_stream, 0u);
}

TEST(Protocol, APartitionHeals) {
  JoinedCluster cluster(6);
  for (const size_t i : {0u, 1u}) cluster.Partition(i, 1);
  ASSERT_TRUE(cluster.RunUntilTrue(
      [&] {
        return cluster.node(0).CountOf(MemberStatus::kFailed) == 4 &&
               cluster.node(5).CountOf(MemberStatus::kFailed) == 2;
      },
      seconds(120)));
  for (const size_t i : {0u, 1u}) cluster.Partition(i, 0);
  EXPECT_TRUE(cluster.RunUntilTrue([&] { return cluster.AllSeeAlive(6); }, seconds(60)));
}

// What somebody who was cut off still believes must not raise the dead.
TEST(Protocol, StaleMemoriesDoNotReviveTheDead) {
  JoinedCluster cluster(3);
  const Member victim = cluster.node(0).Members()[2];
  cluster.Kill(2);
  ASSERT_TRUE(cluster.RunUntilTrue(
      [&] { return cluster.AllSee(victim.name, MemberStatus::kFailed); }, seconds(30)));
  cluster.RunFor(seconds(60));
  const std::string meta = EncodeTags(victim.tags);
  Alive alive{.incarnation = 1,
              .node = victim.name,
              .addr = victim.at.addr,
              .port = victim.at.port,
              .meta = meta,
              .vsn = {"\x01\x05\x02\x02\x05\x05", 6}};
  cluster.Inject(0, Encode(alive));
  EXPECT_EQ(cluster.node(0).StatusOf(victim.name), MemberStatus::kFailed);
  // A new life says something else, and needs no higher incarnation by now.
  const std::string other_meta = EncodeTags({{"instance", "new"}});
  alive.meta = other_meta;
  cluster.Inject(0, Encode(alive));
  EXPECT_EQ(cluster.node(0).StatusOf(victim.name), MemberStatus::kAlive);
}

TEST(Protocol, UserEventsReachEverybodyOnce) {
  JoinedCluster cluster(8);
  std::vector<int> heard(8);
  cluster.on_event = [&](size_t by, const Event& event) {
    if (const auto* user = std::get_if<UserEvent>(&event)) {
      EXPECT_EQ(user->name, "deploy");
      EXPECT_EQ(user->payload, "v2");
      ++heard[by];
    }
  };
  ASSERT_TRUE(cluster.node(3).SendUserEvent(cluster.now(), "deploy", "v2").ok());
  cluster.Flush(3);
  cluster.RunFor(seconds(40));
  EXPECT_THAT(heard, testing::Each(1));
  EXPECT_FALSE(cluster.node(3).SendUserEvent(cluster.now(), "big", std::string(600, 'x')).ok());
}

TEST(Protocol, LateJoinersDoNotHearOldEvents) {
  JoinedCluster cluster(3);
  ASSERT_TRUE(cluster.node(0).SendUserEvent(cluster.now(), "old", "").ok());
  cluster.Flush(0);
  cluster.RunFor(seconds(5));
  const size_t late = cluster.AddNode();
  bool heard = false;
  cluster.on_event = [&](size_t by, const Event& event) {
    heard |= by == late && std::holds_alternative<UserEvent>(event);
  };
  cluster.Join(late, 0);
  cluster.RunFor(seconds(60));
  EXPECT_FALSE(heard);
}

TEST(Protocol, QueriesAreAckedAndAnswered) {
  JoinedCluster cluster(5);
  std::vector<std::string> acks;
  std::vector<std::string> answers;
  bool done = false;
  cluster.on_event = [&](size_t by, const Event& event) {
    if (const auto* query = std::get_if<IncomingQuery>(&event)) {
      EXPECT_EQ(query->payload, "how");
      EXPECT_TRUE(cluster.node(by).Respond(cluster.now(), query->key, cluster.name(by)).ok());
      // Once only.
      EXPECT_FALSE(cluster.node(by).Respond(cluster.now(), query->key, "again").ok());
      cluster.Flush(by);
    } else if (const auto* ack = std::get_if<QueryAck>(&event)) {
      acks.push_back(ack->from);
    } else if (const auto* response = std::get_if<QueryResponse>(&event)) {
      EXPECT_EQ(response->from, response->payload);
      answers.push_back(response->from);
    } else if (std::holds_alternative<QueryDone>(event)) {
      done = true;
    }
  };
  const auto ask = [&](const QueryRequest& request) {
    acks.clear();
    answers.clear();
    done = false;
    ASSERT_TRUE(cluster.node(0).Query(cluster.now(), request).ok());
    cluster.Flush(0);
    EXPECT_TRUE(cluster.RunUntilTrue([&] { return done; }, seconds(10)));
  };
  const auto name = [&](size_t i) { return cluster.name(i); };
  ask({.name = "q", .payload = "how", .want_acks = true, .relay_factor = 2});
  EXPECT_THAT(acks, UnorderedElementsAre(name(0), name(1), name(2), name(3), name(4)));
  EXPECT_THAT(answers, UnorderedElementsAre(name(0), name(1), name(2), name(3), name(4)));
  ask({.name = "q", .payload = "how", .nodes = {name(1), name(3)}});
  EXPECT_THAT(acks, ElementsAre());
  EXPECT_THAT(answers, UnorderedElementsAre(name(1), name(3)));
  ask({.name = "q", .payload = "how", .tags = {{"index", "^[24]$"}}});
  EXPECT_THAT(answers, UnorderedElementsAre(name(2), name(4)));
  ask({.name = "q", .payload = "how", .tags = {{"index", "("}}});
  EXPECT_THAT(answers, ElementsAre());
  EXPECT_FALSE(
      cluster.node(0).Query(cluster.now(), {.name = "q", .payload = std::string(2000, 'x')}).ok());
}

TEST(Protocol, CoordinatesEstimateRoundTrips) {
  SimCluster cluster(kSeed, {.latency_min = milliseconds(10), .latency_max = milliseconds(12)});
  for (size_t i = 0; i < 3; ++i) cluster.AddNode();
  for (size_t i = 1; i < 3; ++i) cluster.Join(i, 0);
  cluster.RunFor(seconds(300));
  for (const Member& member : cluster.node(0).Members()) {
    if (member.name == cluster.name(0)) continue;
    EXPECT_GT(member.round_trip, milliseconds(12)) << member.name;
    EXPECT_LT(member.round_trip, milliseconds(35)) << member.name;
  }
}

TEST(Protocol, KeysRotateWhileTheClusterRuns) {
  const std::string first(32, 'a');
  const std::string second(16, 'b');
  Options options;
  options.keys = {first};
  JoinedCluster cluster(3, options);
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(cluster.node(i).keyring().enabled());
  std::vector<std::vector<std::string>> kept(3);
  size_t good = 0;
  cluster.on_event = [&](size_t by, const Event& event) {
    if (const auto* changed = std::get_if<KeyringChanged>(&event)) kept[by] = changed->keys;
    if (const auto* response = std::get_if<QueryResponse>(&event)) {
      KeyResponse keys;
      ASSERT_TRUE(Decode(std::string_view(response->payload).substr(1), &keys));
      good += keys.result ? 1 : 0;
    }
  };
  const auto change = [&](const std::string& query, const std::string& key) {
    good = 0;
    ASSERT_TRUE(cluster.node(0)
                    .Query(cluster.now(), {.name = query, .payload = EncodeKeyRequest(key)})
                    .ok());
    cluster.Flush(0);
    cluster.RunFor(seconds(4));
    EXPECT_EQ(good, 3u) << query;
  };
  change("_serf_install-key", second);
  change("_serf_use-key", second);
  change("_serf_remove-key", first);
  EXPECT_THAT(kept, testing::Each(ElementsAre(second)));
  cluster.RunFor(seconds(30));
  EXPECT_TRUE(cluster.AllSeeAlive(3));
}

TEST(Protocol, ANodeWithTheWrongKeyStaysOut) {
  Options options;
  options.keys = {std::string(32, 'a')};
  JoinedCluster cluster(3, options);
  const size_t stranger = cluster.AddNode({.keys = {std::string(32, 'z')}});
  const size_t plain = cluster.AddNode();
  std::vector<absl::Status> results;
  cluster.on_event = [&](size_t, const Event& event) {
    if (const auto* result = std::get_if<JoinResult>(&event)) results.push_back(result->status);
  };
  cluster.Join(stranger, 0);
  cluster.Join(plain, 0);
  cluster.RunFor(seconds(20));
  ASSERT_EQ(results.size(), 2u);
  EXPECT_FALSE(results[0].ok());
  EXPECT_FALSE(results[1].ok());
  EXPECT_EQ(cluster.node(0).Members().size(), 3u);
  EXPECT_EQ(cluster.node(plain).Members().size(), 1u);
  EXPECT_GT(cluster.node(0).stats().dropped[static_cast<size_t>(Drop::kWrongKey)], 0u);
}

}  // namespace
}  // namespace mokv::serf
