// Replay: what a start makes of a log, and of a snapshot before it.
#include "replica/replay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "base/status.h"
#include "base/testing/thread_executor.h"
#include "machine/command.h"

namespace mokv::replica {
namespace {

std::string First() {
  return raft::Membership("cluster-1",
                          {{.id = raft::NodeId(1), .name = "n", .instance_id = "disk"}})
      .Encode();
}

wal::FoundLog LogThrough(uint64_t last) {
  return {.hard_state = {.term = Term(1), .vote = {}, .commit = Index(last)},
          .first_index = Index(1),
          .last_index = Index(last),
          .last_term = Term(1)};
}

// Sets and deletes of some keys, all of them committed.
void Feed(Replay& replay, uint64_t last) {
  ASSERT_TRUE(replay.OnEntry({Index(1), Term(1), EntryType::kConfiguration, First()}).ok());
  for (uint64_t i = 2; i <= last; ++i) {
    const std::string key = "k" + std::to_string(i * 7919 % 1000);
    const std::string command = i % 5 == 0 ? machine::EncodeCommand(store::Delete{key, {}})
                                           : machine::EncodeCommand(store::Set{key, "v", {}});
    ASSERT_TRUE(replay.OnEntry({Index(i), Term(1), EntryType::kCommand, command}).ok());
    if (i % 100 == 0) {
      ASSERT_TRUE(replay.OnCommitted(Index(i)).ok());
    }
  }
  ASSERT_TRUE(replay.OnFound(LogThrough(last)).ok());
}

// Goal: a replay of many writes to one key needs the memory of one, not of all.
TEST(Replay, GivesBackWhatIsOverwritten) {
  machine::Machine machine;
  Replay replay(machine, std::nullopt, nullptr);
  ASSERT_TRUE(replay.OnEntry({Index(1), Term(1), EntryType::kConfiguration, First()}).ok());
  constexpr uint64_t kWrites = 40'000;
  constexpr size_t kValueBytes = 1000;
  const std::string command =
      machine::EncodeCommand(store::Set{"k", std::string(kValueBytes, 'v'), {}});
  uint64_t most = 0;
  for (uint64_t i = 2; i < kWrites; ++i) {
    ASSERT_TRUE(replay.OnEntry({Index(i), Term(1), EntryType::kCommand, command}).ok());
    if (i % 10 == 0) {
      ASSERT_TRUE(replay.OnCommitted(Index(i)).ok());
    }
    most = std::max(most, machine.memory_bytes());
  }
  EXPECT_GT(most, kValueBytes);  // It is counted on the way.
  EXPECT_LT(most, kWrites * kValueBytes / 8);
}

// Goal: what may still be replaced is not applied, and what replaces it is.
TEST(Replay, AppliesOnlyWhatIsCommitted) {
  machine::Machine machine;
  Replay replay(machine, std::nullopt, nullptr);
  const std::string old = machine::EncodeCommand(store::Set{"k", "old", {}});
  const std::string kept = machine::EncodeCommand(store::Set{"k", "kept", {}});
  ASSERT_TRUE(replay.OnEntry({Index(1), Term(1), EntryType::kConfiguration, First()}).ok());
  ASSERT_TRUE(replay.OnCommitted(Index(1)).ok());
  ASSERT_TRUE(replay.OnEntry({Index(2), Term(1), EntryType::kCommand, old}).ok());
  ASSERT_TRUE(replay.OnEntry({Index(3), Term(1), EntryType::kCommand, old}).ok());
  ASSERT_TRUE(replay.OnEntry({Index(2), Term(2), EntryType::kCommand, kept}).ok());
  ASSERT_TRUE(replay.OnCommitted(Index(2)).ok());
  ASSERT_TRUE(replay.OnEntry({Index(3), Term(2), EntryType::kCommand, old}).ok());
  EXPECT_TRUE(absl::IsDataLoss(replay.OnEntry({Index(2), Term(3), EntryType::kCommand, old})));
  const absl::Status found =
      replay.OnFound({.hard_state = {.term = Term(2), .vote = {}, .commit = Index(2)},
                      .first_index = Index(1),
                      .last_index = Index(3),
                      .last_term = Term(2)});
  ASSERT_TRUE(found.ok()) << found;
  const raft::InitialState initial = replay.Take().initial;
  EXPECT_EQ(initial.applied, Index(2));
  EXPECT_EQ(initial.log.last(), (EntryId{Index(3), Term(2)}));
  EXPECT_EQ(machine.TakeView()->Find("k")->value(), "kept");
}

TEST(Replay, StopsAtWhatItDoesNotKnow) {
  machine::Machine machine;
  Replay replay(machine, std::nullopt, nullptr);
  EXPECT_TRUE(absl::IsDataLoss(replay.OnEntry({Index(1), Term(1), EntryType::kNoOp, {}})));
  ASSERT_TRUE(replay.OnEntry({Index(1), Term(1), EntryType::kConfiguration, First()}).ok());
  ASSERT_TRUE(replay.OnEntry({Index(2), Term(1), EntryType::kCommand, "\x99 what?"}).ok());
  const absl::Status status = replay.OnCommitted(Index(2));
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_NE(MessageOf(status).find("log entry 2"), std::string_view::npos) << status;
}

// Goal: another thread that applies makes the same of a log as the reader's own.
TEST(Replay, AppliesTheSameOnAnotherThread) {
  constexpr uint64_t kEntries = 20'000;
  machine::Machine alone;
  Replay here(alone, std::nullopt, nullptr);
  Feed(here, kEntries);
  machine::Machine other;
  ThreadExecutor thread;
  Replay there(other, std::nullopt, &thread);
  Feed(there, kEntries);
  EXPECT_GT(alone.stats().keys, 0u);
  EXPECT_EQ(other.digest(), alone.digest());
  EXPECT_EQ(other.revision(), alone.revision());
  EXPECT_EQ(there.Take().initial.applied, Index(kEntries));
}

// Goal:   the state begins with the snapshot, and no entry is applied to one that could not be loaded.
// Method: the snapshot is of an empty state, or damaged; all entries come behind it.
TEST(Replay, EntriesWaitForTheSnapshot) {
  ThreadExecutor thread;
  for (const bool damaged : {false, true}) {
    machine::Machine machine;
    const auto load = [damaged]() -> absl::StatusOr<machine::LoadedState> {
      if (damaged) return DataLoss("block 3 is damaged");
      machine::LoadedState state{.store = std::make_unique<store::Store>(),
                                 .sessions = std::make_unique<machine::Sessions>()};
      state.store->Apply(store::Set{"from the snapshot", "v", {}});
      state.store->Publish();
      return state;
    };
    const auto members =
        std::make_shared<const raft::Membership>(*raft::Membership::Decode(First()));
    Replay replay(machine,
                  SnapshotToLoad{{.last = {Index(1), Term(1)}, .membership = members}, load},
                  &thread);
    ASSERT_TRUE(replay.OnEntry({Index(1), Term(1), EntryType::kConfiguration, First()}).ok());
    const std::string command = machine::EncodeCommand(store::Set{"k", "v", {}});
    ASSERT_TRUE(replay.OnEntry({Index(2), Term(1), EntryType::kCommand, command}).ok());
    const absl::Status found = replay.OnFound(LogThrough(2));
    EXPECT_EQ(found.ok(), !damaged) << found;
    EXPECT_EQ(replay.snapshot_status(), found);
    EXPECT_EQ(machine.stats().keys, damaged ? 0u : 2u);
  }
}

}  // namespace
}  // namespace mokv::replica
