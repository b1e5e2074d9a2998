// The judge of all the others. The mutations show that it finds what is wrong; here is what it must
// not take for wrong.
#include "raft/testing/invariants.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace mokv::raft::testing {
namespace {

// A core in the test's hands, and the writes that its disk has not answered.
struct Driven {
  explicit Driven(uint64_t id, Invariants& invariants) : invariants(invariants) {
    const auto member = [](uint64_t number) {
      return Member{.id = NodeId(number), .name = std::to_string(number), .instance_id = "disk"};
    };
    InitialState initial{.hard_state = {.term = Term(1)}};
    EXPECT_TRUE(initial.log.Recover(InitialEntry(Membership("c", {member(1), member(2)}))).ok());
    Options options;
    options.id = NodeId(id);
    core = *Core::Create(options, std::move(initial), random, now);
    invariants.OnStart(*core, Disk());
  }

  Output Step(Event event) {
    core->Step(now, std::move(event));
    Output output = core->TakeOutput();
    invariants.OnTransition(*core);
    if (output.persist.has_value()) tickets.push_back(output.persist->ticket);
    return output;
  }
  template <typename Body>
  Output From(uint64_t node, uint64_t term, Body body) {
    return Step(
        Receive{{.from = NodeId(node), .to = core->id(), .term = Term(term), .body = body}});
  }
  Output PersistOne() {
    const PersistTicket ticket = tickets.front();
    tickets.erase(tickets.begin());
    return Step(Persisted{ticket});
  }

  Invariants& invariants;
  SeededRandom random{1};
  MonotonicTime now{std::chrono::hours(1)};
  std::unique_ptr<Core> core;
  std::vector<PersistTicket> tickets;
};

// Goal:   a leader may commit by a final configuration that is on no disk yet, and a follower that
//         does not have that configuration may be the first to tell.
// Method: node 2 becomes a learner. Entry 4 is durable on the leader alone when entry 5, the final
//         configuration, is appended there. So node 1 alone commits 4, and node 2 hears of it.
TEST(Invariants, KnowByWhichConfigurationALeaderCounted) {
  Invariants invariants;
  Driven leader(1, invariants);
  leader.now = leader.core->NextDeadline();
  leader.Step(Tick{});
  leader.From(2, 2, PreVoteReply{.granted = true});
  leader.PersistOne();
  const Message vote{
      .from = NodeId(2), .to = NodeId(1), .term = Term(2), .body = VoteReply{.granted = true}};
  invariants.OnSend(*leader.core, vote,
                    {.hard_state = {.term = Term(2), .vote = VoteText(NodeId(1))}});
  leader.Step(Receive{vote});
  leader.PersistOne();
  leader.From(2, 2, AppendReply{.accepted = true, .match = Index(2)});
  ASSERT_TRUE(leader.core->can_serve());
  const Member& second = *leader.core->membership()->Find(NodeId(2));
  leader.Step(
      ChangeMembership{.request = RequestId(1),
                       .changes = {{.kind = MemberChange::Kind::kDemote, .member = second}}});
  leader.Step(
      Propose{.request = RequestId(1), .payloads = {std::make_shared<const std::string>("a")}});
  leader.PersistOne();
  leader.From(2, 2, AppendReply{.accepted = true, .match = Index(3)});
  ASSERT_EQ(leader.core->commit(), Index(3));
  ASSERT_EQ(leader.core->log().membership_index(), Index(5));
  leader.PersistOne();
  ASSERT_EQ(leader.core->commit(), Index(4));
  ASSERT_EQ(leader.core->durability().stable(), Index(4));

  Driven follower(2, invariants);
  std::vector<Entry> entries = {leader.core->log().At(Index(2)), leader.core->log().At(Index(3)),
                                leader.core->log().At(Index(4))};
  const Output told = follower.From(
      1, 2,
      Append{.previous = {Index(1), Term(1)},
             .entries = std::make_shared<const std::vector<Entry>>(std::move(entries)),
             .commit = Index(4)});
  ASSERT_EQ(told.committed.back().index, Index(4));
  invariants.OnCommitted(*follower.core, told.committed, [](NodeId id, Position position) {
    return id == NodeId(1) || position.index < Index(4);
  });
  EXPECT_EQ(invariants.violation(), "");
}

}  // namespace
}  // namespace mokv::raft::testing
