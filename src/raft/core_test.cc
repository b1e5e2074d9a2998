// The core where scripts do not reach: hostile and malformed input, start-up errors, stickiness by
// direct injection, deadlines, determinism of memory bounds.
#include "raft/core.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace mokv::raft {
namespace {

using std::chrono::milliseconds;

Member Numbered(uint64_t id) {
  return {.id = NodeId(id), .name = std::to_string(id), .instance_id = "disk"};
}

class CoreTest : public ::testing::Test {
 protected:
  CoreTest() : membership_("c", {Numbered(1), Numbered(2), Numbered(3)}) {}

  void Start(Options options = {}) {
    options.id = NodeId(1);
    InitialState initial;
    ASSERT_TRUE(initial.log.Recover(InitialEntry(membership_)).ok());
    initial.hard_state.term = Term(1);
    auto core = Core::Create(options, std::move(initial), random_, now_);
    ASSERT_TRUE(core.ok());
    core_ = std::move(*core);
  }

  // Whatever is to be persisted is, at once.
  std::vector<Message> Step(Event event) {
    core_->Step(now_, std::move(event));
    std::vector<Message> messages;
    for (Output output = core_->TakeOutput();; output = core_->TakeOutput()) {
      for (Message& message : output.messages) messages.push_back(std::move(message));
      for (const Entry& entry : output.committed) applied_.push_back(entry.index);
      if (output.persist.has_value()) {
        core_->Step(now_, Persisted{output.persist->ticket});
      } else if (!output.more_committed) {
        return messages;
      }
    }
  }
  template <typename Body>
  std::vector<Message> From(uint64_t node, uint64_t term, Body body) {
    return Step(Receive{{.from = NodeId(node), .to = NodeId(1), .term = Term(term), .body = body}});
  }

  Membership membership_;
  SeededRandom random_{1};
  MonotonicTime now_{std::chrono::hours(1)};
  std::unique_ptr<Core> core_;
  std::vector<Index> applied_;
};

TEST_F(CoreTest, RefusesToStartFromWhatDoesNotFit) {
  Options options;
  options.id = NodeId(1);
  const auto create = [&](HardState hard_state, std::optional<SnapshotMeta> snapshot) {
    InitialState initial{.hard_state = std::move(hard_state), .snapshot = std::move(snapshot)};
    EXPECT_TRUE(initial.log.Recover(InitialEntry(membership_)).ok());
    return Core::Create(options, std::move(initial), random_, now_).status().code();
  };
  EXPECT_EQ(create({.term = Term(1)}, std::nullopt), absl::StatusCode::kOk);
  EXPECT_EQ(create({.term = Term(0)}, std::nullopt), absl::StatusCode::kDataLoss);
  EXPECT_EQ(create({.term = Term(1), .commit = Index(2)}, std::nullopt),
            absl::StatusCode::kDataLoss);
}

TEST_F(CoreTest, DropsMalformedMessages) {
  Start();
  const auto batch = [](std::vector<Entry> entries) {
    return std::make_shared<const std::vector<Entry>>(std::move(entries));
  };
  const auto entry = [](uint64_t index, uint64_t term, EntryType type = EntryType::kCommand) {
    return Entry{.index = Index(index), .term = Term(term), .type = type};
  };
  const Position one{Index(1), Term(1)};
  const std::vector<Append> malformed = {
      {.previous = one, .entries = batch({})},
      {.previous = one, .entries = batch({entry(3, 2)})},               // A gap.
      {.previous = one, .entries = batch({entry(2, 3)})},               // Of the future.
      {.previous = one, .entries = batch({entry(2, 2), entry(3, 1)})},  // Terms fall.
      {.previous = one, .entries = batch({entry(2, 0)})},
      {.previous = one, .entries = batch({entry(2, 2, EntryType::kConfiguration)})},
      {.previous = {Index(0), Term(1)}},
      {.previous = {Index(5), Term(0)}},
      {.previous = {Index(5), Term(9)}},
  };
  for (const Append& append : malformed) EXPECT_TRUE(From(2, 2, append).empty());
  EXPECT_TRUE(From(2, 2, InstallSnapshot{}).empty());
  EXPECT_TRUE(From(1, 2, Heartbeat{}).empty());  // From itself.
  EXPECT_TRUE(From(0, 2, Heartbeat{}).empty());
  EXPECT_TRUE(From(2, 0, Heartbeat{}).empty());
  EXPECT_EQ(core_->stats().malformed, malformed.size() + 4);
  EXPECT_EQ(core_->term(), Term(1));
  EXPECT_EQ(core_->log().last().index, Index(1));
}

// §4.2.3, and the check happens before the term is looked at.
TEST_F(CoreTest, VoteRequestsAreNotHeardWhileTheLeaderIs) {
  Start();
  From(2, 2, Heartbeat{.round = Round(1)});
  EXPECT_EQ(core_->leader(), NodeId(2));
  EXPECT_TRUE(From(3, 9, VoteRequest{.last = {Index(9), Term(8)}}).empty());
  EXPECT_EQ(core_->term(), Term(2));
  now_ = now_ + milliseconds(1000);
  EXPECT_EQ(From(3, 9, VoteRequest{.last = {Index(9), Term(8)}}).size(), 1U);
  EXPECT_EQ(core_->vote(), NodeId(3));
}

// §6.4.1: the leader of term 2 may be answering reads on the strength of this node's answer,
// whatever this node has heard of other terms since.
TEST_F(CoreTest, LeasePromiseOutlivesTheTerm) {
  Start({.lease_reads = true});
  now_ = now_ + milliseconds(2000);
  From(2, 2, Heartbeat{.round = Round(1)});
  From(3, 5, HeartbeatReply{});
  EXPECT_EQ(core_->term(), Term(5));
  EXPECT_EQ(core_->leader(), NodeId());
  now_ = now_ + milliseconds(999);
  EXPECT_TRUE(From(3, 6, VoteRequest{.last = {Index(9), Term(5)}}).empty());
  EXPECT_EQ(core_->term(), Term(5));
  now_ = now_ + milliseconds(1);
  From(3, 6, VoteRequest{.last = {Index(9), Term(5)}});
  EXPECT_EQ(core_->vote(), NodeId(3));
}

TEST_F(CoreTest, LeaderIgnoresASecondLeaderOfItsTerm) {
  Start();
  now_ = core_->NextDeadline();
  Step(Tick{});
  From(2, 2, PreVoteReply{.granted = true});
  From(2, 2, VoteReply{.granted = true});
  ASSERT_EQ(core_->role(), Role::kLeader);
  EXPECT_TRUE(From(3, 2, Heartbeat{.round = Round(1)}).empty());
  EXPECT_EQ(core_->role(), Role::kLeader);
  // Nor does it believe in acknowledgements of what it never sent.
  From(3, 2, AppendReply{.accepted = true, .match = Index(99)});
  EXPECT_EQ(core_->commit(), Index(0));
  From(3, 2, HeartbeatReply{.round = Round(99)});
  EXPECT_EQ(core_->stats().malformed, 2U);
}

// Nothing to do means no deadline: thousands of idle cores cost nothing.
TEST_F(CoreTest, NeedsNoTicksBetweenDeadlines) {
  Start();
  const MonotonicTime deadline = core_->NextDeadline();
  EXPECT_GE(deadline, now_ + milliseconds(1000));
  EXPECT_LT(deadline, now_ + milliseconds(2000));
  now_ = deadline - Duration(1);
  EXPECT_TRUE(Step(Tick{}).empty());
  EXPECT_EQ(core_->role(), Role::kFollower);
  now_ = deadline;
  EXPECT_EQ(Step(Tick{}).size(), 2U);

  Options options;
  options.id = NodeId(9);
  const auto waiting = Core::Create(options, InitialState(), random_, now_);
  EXPECT_EQ((*waiting)->NextDeadline(), MonotonicTime::Max());
}

// Memory holds what is not durable, not applied, or cached; no more.
TEST_F(CoreTest, ForgetsEntriesBeyondTheCache) {
  Start({.cache_bytes_max = 1000});
  Position last{Index(1), Term(1)};
  for (uint64_t i = 2; i <= 200; ++i) {
    const Entry entry{.index = Index(i), .term = Term(2), .type = EntryType::kCommand};
    From(2, 2,
         Append{.previous = last,
                .entries = std::make_shared<const std::vector<Entry>>(1, entry),
                .commit = Index(i)});
    last = {Index(i), Term(2)};
  }
  EXPECT_EQ(core_->commit(), Index(200));
  EXPECT_EQ(applied_.size(), 200U);
  EXPECT_LE(core_->log().bytes_in_memory(), 1000 + kEntryOverheadBytes);
  EXPECT_EQ(core_->log().TermAt(Index(100)), Term(2));
}

}  // namespace
}  // namespace mokv::raft
