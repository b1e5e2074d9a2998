#include "replica/pending_writes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mokv::replica {
namespace {

Write Named(const std::string& name, int64_t give_up_at_ns = 1000) {
  return {.command = std::make_shared<const std::string>(name),
          .give_up_at = MonotonicTime{Duration(give_up_at_ns)}};
}

std::vector<std::string> NamesOf(const std::vector<Write>& writes) {
  std::vector<std::string> names;
  for (const Write& write : writes) names.push_back(*write.command);
  return names;
}

using ::testing::ElementsAre;
using ::testing::IsEmpty;

raft::Position At(uint64_t index, uint64_t term) { return {Index(index), Term(term)}; }

TEST(PendingWrites, AreDoneWithTheirOwnTermOnly) {
  PendingWrites pending;
  std::vector<Write> superseded;
  pending.Add(At(5, 2), Named("a"));
  pending.Add(At(6, 2), Named("b"));
  EXPECT_FALSE(pending.OnApplied(At(4, 1), superseded).has_value());
  EXPECT_EQ(*pending.OnApplied(At(5, 2), superseded)->command, "a");
  EXPECT_THAT(superseded, IsEmpty());
  EXPECT_FALSE(pending.OnApplied(At(6, 3), superseded).has_value());
  EXPECT_THAT(NamesOf(superseded), ElementsAre("b"));
  EXPECT_EQ(pending.size(), 0u);
}

// Goal: leadership lost and won again; two writes want the same place, and only the log knows.
TEST(PendingWrites, SurviveTheirLeadership) {
  PendingWrites pending;
  std::vector<Write> superseded;
  pending.Add(At(5, 2), Named("old 5"));
  pending.Add(At(6, 2), Named("old 6"));
  pending.Add(At(5, 4), Named("new 5"));
  EXPECT_EQ(*pending.OnApplied(At(5, 2), superseded)->command, "old 5");
  EXPECT_THAT(NamesOf(superseded), ElementsAre("new 5"));
  superseded.clear();
  EXPECT_FALSE(pending.OnApplied(At(6, 5), superseded).has_value());
  EXPECT_THAT(NamesOf(superseded), ElementsAre("old 6"));
  EXPECT_EQ(pending.size(), 0u);
}

// Goal: whoever lost more entries than the next leader has written is not left waiting for one that
// may never come.
TEST(PendingWrites, ALaterTermLeavesNoRoomBehindIt) {
  PendingWrites pending;
  std::vector<Write> superseded;
  pending.Add(At(5, 2), Named("older 5"));
  pending.Add(At(6, 2), Named("older 6"));
  pending.Add(At(5, 4), Named("old 5"));
  pending.Add(At(6, 4), Named("old 6"));
  EXPECT_FALSE(pending.OnApplied(At(4, 3), superseded).has_value());
  EXPECT_THAT(NamesOf(superseded), ElementsAre("older 5", "older 6"));
  superseded.clear();
  EXPECT_FALSE(pending.OnApplied(At(5, 5), superseded).has_value());
  EXPECT_THAT(NamesOf(superseded), ElementsAre("old 5", "old 6"));
  EXPECT_EQ(pending.size(), 0u);
}

// Goal: a leader that was deposed with much under way and leads again does not stand still over it.
//       (It once took the square of them: a quarter of a minute.)
TEST(PendingWrites, SettleManyOfAnEarlierLeadershipOneByOne) {
  PendingWrites pending;
  std::vector<Write> superseded;
  constexpr uint64_t kWrites = 200'000;
  for (uint64_t i = 1; i <= kWrites; ++i) pending.Add(At(i, 2), {.command = nullptr});
  pending.Add(At(kWrites + 1, 4), Named("new"));
  for (uint64_t i = 1; i <= kWrites; ++i) {
    ASSERT_TRUE(pending.OnApplied(At(i, 2), superseded).has_value());
  }
  EXPECT_EQ(pending.size(), 1u);
}

TEST(PendingWrites, GiveUpLeavesThePlace) {
  PendingWrites pending;
  std::vector<Write> superseded;
  pending.Add(At(5, 2), Named("short", 10));
  pending.Add(At(6, 2), Named("long", 20));
  EXPECT_THAT(NamesOf(pending.TakeExpired(MonotonicTime{Duration(10)})), ElementsAre("short"));
  EXPECT_EQ(pending.size(), 1u);
  EXPECT_FALSE(pending.OnApplied(At(5, 2), superseded).has_value());
  EXPECT_EQ(*pending.OnApplied(At(6, 2), superseded)->command, "long");
  EXPECT_THAT(superseded, IsEmpty());
}

}  // namespace
}  // namespace mokv::replica
