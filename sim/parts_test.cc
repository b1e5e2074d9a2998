// The simulator's own parts: time, clocks, network, state machine, plans.
#include <gtest/gtest.h>

#include <set>

#include "sim/event_queue.h"
#include "sim/kv_machine.h"
#include "sim/network.h"
#include "sim/node_clock.h"
#include "sim/plan.h"

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
