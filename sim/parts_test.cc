// The simulator's own parts: time, clocks, network, connections, state machine, plans, and what was
// told.
#include <gtest/gtest.h>

#include <set>

#include "machine/command.h"
#include "sim/event_queue.h"
#include "sim/fencing.h"
#include "sim/kv_machine.h"
#include "sim/network.h"
#include "sim/node_clock.h"
#include "sim/plan.h"
#include "sim/told.h"
#include "sim/wires.h"

namespace mokv::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(EventQueue, HappensInOrderOfTimeThenOfAdding) {
  EventQueue queue;
  std::string happened;
  const MonotonicTime begin = queue.now();
  queue.After(milliseconds(2), [&] { happened += 'c'; });
  queue.After(milliseconds(1), [&] {
    happened += 'a';
    queue.After(Duration(0), [&] { happened += 'b'; });
  });
  queue.After(milliseconds(2), [&] { happened += 'd'; });
  queue.After(seconds(1), [&] { happened += 'e'; });
  while (queue.Next(begin + milliseconds(500))) {
  }
  EXPECT_EQ(happened, "abcd");
  EXPECT_EQ(queue.now(), begin + milliseconds(500));
}

TEST(NodeClock, ShowsATimeNoSoonerThanWhenItSays) {
  for (const int64_t rate : {850, 999, 1000, 1001, 1100}) {
    NodeClock clock;
    const MonotonicTime start{seconds(5)};
    clock.Begin(start, MonotonicTime(seconds(77)));
    clock.SetRate(start + seconds(1), rate);
    const MonotonicTime local = clock.Read(start + seconds(2)) + Duration(12'345);
    const MonotonicTime when = clock.When(local);
    EXPECT_GE(clock.Read(when), local) << rate;
    EXPECT_LT(clock.Read(when - Duration(2)), local) << rate;
  }
}

TEST(NodeClock, JumpsForward) {
  NodeClock clock;
  const MonotonicTime before = clock.Read(MonotonicTime(seconds(3)));
  clock.Jump(MonotonicTime(seconds(3)), milliseconds(40));
  EXPECT_EQ(clock.Read(MonotonicTime(seconds(3))), before + milliseconds(40));
}

TEST(Network, FaultsAddUpAndAreTakenBackOneByOne) {
  Network network(1, milliseconds(1), milliseconds(2));
  network.Add(0, 1, {.cut = true});
  network.Add(0, 1, {.cut = true, .delay = milliseconds(50)});
  EXPECT_TRUE(network.IsCut(0, 1));
  EXPECT_FALSE(network.IsCut(1, 0)) << "a cut has a direction";
  network.Remove(0, 1, {.cut = true});
  EXPECT_EQ(network.Send(0, 1).copies, 0);
  network.Remove(0, 1, {.cut = true});
  const Network::Fate fate = network.Send(0, 1);
  ASSERT_EQ(fate.copies, 1);
  EXPECT_GE(fate.delays[0], milliseconds(51));
  EXPECT_LE(fate.delays[0], milliseconds(52));
}

TEST(Network, LosesAndDoublesAsOftenAsItShould) {
  Network network(1, milliseconds(1), milliseconds(2));
  network.Add(0, 1, {.loss = 500, .duplication = 500});
  int copies[3] = {};
  for (int i = 0; i < 4000; ++i) ++copies[network.Send(0, 1).copies];
  EXPECT_NEAR(copies[0], 2000, 200);
  EXPECT_NEAR(copies[1], 1000, 200);
  EXPECT_NEAR(copies[2], 1000, 200);
}

Entry EntryOf(uint64_t index, const Command& command) {
  return {.index = Index(index),
          .term = Term(1),
          .type = EntryType::kCommand,
          .payload = std::make_shared<const std::string>(command.Encode())};
}

TEST(KvMachine, ComparesBeforeItSets) {
  KvMachine machine;
  EXPECT_TRUE(machine.Apply(EntryOf(1, {.op = Op::kCas, .key = 2, .value = 7, .expected = 0})));
  EXPECT_FALSE(machine.Apply(EntryOf(2, {.op = Op::kCas, .key = 2, .value = 8, .expected = 6})));
  EXPECT_EQ(machine.Get(2), 7U);
  EXPECT_TRUE(machine.Apply(EntryOf(3, {.op = Op::kDelete, .key = 2})));
  EXPECT_EQ(machine.Get(2), 0U);
}

TEST(KvMachine, HasTheSameDigestForTheSameEntriesOnly) {
  KvMachine one;
  KvMachine same;
  KvMachine other;
  one.Apply(EntryOf(1, {.op = Op::kSet, .key = 1, .value = 5}));
  same.Apply(EntryOf(1, {.op = Op::kSet, .key = 1, .value = 5}));
  other.Apply(EntryOf(1, {.op = Op::kSet, .key = 1, .value = 6}));
  EXPECT_EQ(one.digest(), same.digest());
  EXPECT_NE(one.digest(), other.digest());
}

class NoWorld final : public Host {
 public:
  MonotonicTime Now(Place) const override { return {}; }
  void After(Place, Duration, std::function<void()>) override {}
  void Beside(Place, Duration, std::function<void()>) override {}
  void Interrupt(Place, bool) override {}
  void Send(Place, Packet) override {}
  void Reply(Place, ClientReply) override {}
  Place PlaceOf(raft::NodeId) const override { return kPlacesMax; }
  bool CanConnect(Place, Place) const override { return connects; }
  bool connects = true;
};

class WiresTest : public ::testing::Test {
 protected:
  Wires::ConnectionId Connect(Place from, Place to) {
    return wires_.Connect(host_, from, to, raft::NodeId(from + 1), raft::NodeId(to + 1));
  }
  Packet PacketBy(Wires::ConnectionId connection) {
    Packet packet;
    wires_.Number(0, connection, packet);
    return packet;
  }

  NoWorld host_;
  Wires wires_;
};

TEST_F(WiresTest, GivesPacketsInOrderAndOnce) {
  const auto connection = Connect(0, 1);
  EXPECT_EQ(Connect(1, 0), connection);
  const Packet first = PacketBy(connection);
  const Packet second = PacketBy(connection);
  EXPECT_EQ(wires_.Take(1, second).size(), 0U) << "it waits for the one before it";
  EXPECT_EQ(wires_.Take(1, first).size(), 2U);
  EXPECT_EQ(wires_.Take(1, first).size(), 0U);
}

TEST_F(WiresTest, EndsCloseOneByOne) {
  const auto old = Connect(0, 1);
  EXPECT_TRUE(wires_.Close(0, old));
  EXPECT_FALSE(wires_.Close(0, old));
  EXPECT_TRUE(wires_.IsOpen(1, old)) << "it has not heard of it";
  const auto another = Connect(0, 1);
  EXPECT_NE(another, old);
  EXPECT_EQ(wires_.With(1, raft::NodeId(1)).size(), 2U);
  wires_.CloseAll(1);
  EXPECT_TRUE(wires_.IsOpen(0, another));
  host_.connects = false;
  EXPECT_EQ(Connect(1, 0), Wires::ConnectionId());
}

Entry EntryOf(uint64_t index, uint64_t value) {
  const machine::Command command = store::Set{"k0", Told::ValueOf(value), {}};
  return {.index = Index(index),
          .term = Term(1),
          .type = EntryType::kCommand,
          .payload = std::make_shared<const std::string>(machine::EncodeCommand(command))};
}

class ToldTest : public ::testing::Test {
 protected:
  ToldTest() { told_.OnAsked({.id = 7, .command = {.op = Op::kSet, .value = 4}}); }
  void Answer(Told::Fate fate, uint64_t revision = 0) {
    told_.OnAnswered(7, {.fate = fate, .applied = {.revision = Revision(revision)}, .reason = {}});
  }
  std::string Rule() const { return told_.violation().substr(0, told_.violation().find(':')); }

  Told told_;
};

TEST_F(ToldTest, WhatIsDoneIsCommittedOnce) {
  told_.OnCommitted(EntryOf(1, 4));
  told_.OnCommitted(EntryOf(1, 4));  // Another node's.
  Answer(Told::Fate::kApplied, 1);
  EXPECT_EQ(Rule(), "");
  told_.OnCommitted(EntryOf(2, 4));
  EXPECT_EQ(Rule(), "log");
}

TEST_F(ToldTest, DoneBeforeItIsCommittedIsWrong) {
  Answer(Told::Fate::kApplied, 1);
  EXPECT_EQ(Rule(), "log");
}

TEST_F(ToldTest, NotDoneAndCommittedIsWrong) {
  Answer(Told::Fate::kNotDone);
  EXPECT_EQ(Rule(), "");
  told_.OnCommitted(EntryOf(1, 4));
  EXPECT_EQ(Rule(), "log");
}

TEST_F(ToldTest, UnknownMayBeEither) {
  Answer(Told::Fate::kUnknown);
  told_.OnCommitted(EntryOf(1, 4));
  EXPECT_EQ(Rule(), "");
  Answer(Told::Fate::kUnknown);
  EXPECT_EQ(Rule(), "answered");
}

TEST_F(ToldTest, NobodyWouldReadLessThanWasTold) {
  told_.OnCommitted(EntryOf(1, 4));
  Answer(Told::Fate::kApplied, 5);
  told_.CheckLease(0, 5);
  EXPECT_EQ(Rule(), "");
  told_.CheckLease(0, 4);
  EXPECT_EQ(Rule(), "lease");
}

class FencingTest : public ::testing::Test {
 protected:
  FencingTest() {
    std::vector<raft::Member> voters;
    for (uint64_t id = 1; id <= 3; ++id) {
      voters.push_back({.id = raft::NodeId(id), .name = std::to_string(id), .instance_id = "d"});
    }
    membership_ = raft::Membership("c", voters);
  }
  // Node 1 is judged; `from` tells what its state is.
  void Tell(uint64_t from, uint64_t index, uint64_t state) {
    fencing_.OnDigest(raft::NodeId(from), {.index = Index(index), .low = state}, membership_,
                      raft::NodeId(1));
  }

  raft::Membership membership_;
  Fencing fencing_;
};

TEST_F(FencingTest, IsDueOnceAMajorityHasAnotherState) {
  Tell(2, 8, 70);
  Tell(3, 8, 70);
  EXPECT_FALSE(fencing_.due().has_value());  // It has not told its own.
  Tell(1, 8, 71);
  EXPECT_EQ(fencing_.due(), Index(8));
}

TEST_F(FencingTest, IsNotDueWithoutAMajorityOfOneStateAtOneIndex) {
  Tell(1, 8, 71);
  Tell(2, 8, 70);
  Tell(3, 8, 72);
  Tell(1, 16, 71);
  Tell(2, 16, 71);
  Tell(3, 16, 70);
  Tell(3, 24, 70);
  Tell(2, 24, 70);
  Tell(9, 24, 71);  // Nobody.
  EXPECT_FALSE(fencing_.due().has_value());
}

// So that whoever keeps more of them than this does has judged it, too.
TEST_F(FencingTest, ForgetsWhatIsLongPast) {
  Tell(1, 8, 71);
  for (uint64_t index = 16; index <= 80; index += 8) Tell(1, index, 71);
  Tell(2, 8, 70);
  Tell(3, 8, 70);
  EXPECT_FALSE(fencing_.due().has_value());
}

// Goal:   seeds that were kept mean what they meant.
// Method: half of them have nothing of what is drawn apart, neither faults nor sizes.
TEST(DrawPlan, LeavesHalfOfTheSeedsWithoutWhatCameLater) {
  size_t without = 0;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    const Plan plan = DrawPlan(seed, NodeKind::kReplicas);
    bool later = plan.node.memory_spare_bytes > 0 || plan.node.tears_near_end;
    bool changes = false;
    for (const Fault& fault : plan.faults) {
      later = later || IsDrawnApart(fault.kind);
      changes = changes || fault.kind == FaultKind::kStateChanged;
    }
    without += later ? 0 : 1;
    // A changed state is in no snapshot.
    EXPECT_TRUE(!changes || plan.node.snapshot_log_bytes > 1U << 20) << seed;
    for (const Fault& fault : DrawPlan(seed, NodeKind::kCores).faults) {
      EXPECT_FALSE(IsDrawnApart(fault.kind)) << seed;
    }
  }
  EXPECT_GT(without, 180U);
  EXPECT_LT(without, 240U);
}

TEST(DrawPlan, StaysWithinItsBounds) {
  std::set<size_t> places;
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    const Plan plan = DrawPlan(seed, NodeKind::kCores);
    places.insert(plan.places);
    EXPECT_GE(plan.voters, 1U) << seed;
    EXPECT_LE(plan.voters, plan.places) << seed;
    EXPECT_GE(plan.faults.size(), kFaultsMin) << seed;
    if (!plan.leases()) continue;
    // Beyond the drift bound leases promise nothing.
    for (const int64_t rate : plan.rates_permille) {
      EXPECT_GE(rate, 1000) << seed;
      EXPECT_LE(rate, 1000 + 10 * plan.node.options.clock_drift_percent_max) << seed;
    }
  }
  EXPECT_EQ(places, (std::set<size_t>{3, 4, 5, 6, 7}));
}

}  // namespace
}  // namespace mokv::sim
