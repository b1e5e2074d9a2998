#include "base/term_runs.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace mokv {
namespace {

TEST(TermRuns, KnowsTheTermOfEveryEntry) {
  TermRuns runs;
  for (const auto& [index, term] :
       std::vector<std::pair<uint64_t, uint64_t>>{{1, 1}, {2, 1}, {3, 4}, {4, 4}, {5, 6}}) {
    runs.Append(Index(index), Index(index), Term(term));
  }
  EXPECT_EQ(runs.TermAt(Index(0)), Term(0));
  EXPECT_EQ(runs.TermAt(Index(2)), Term(1));
  EXPECT_EQ(runs.TermAt(Index(3)), Term(4));
  EXPECT_EQ(runs.TermAt(Index(5)), Term(6));
  EXPECT_EQ(runs.LastWithTermAtMost(Index(5), Term(5)), (EntryId{Index(4), Term(4)}));
  EXPECT_EQ(runs.LastWithTermAtMost(Index(9), Term(3)), (EntryId{Index(2), Term(1)}));
  EXPECT_EQ(runs.LastWithTermAtMost(Index(5), Term(0)), (EntryId{}));
  runs.CutThrough({Index(3), Term(4)});
  EXPECT_EQ(runs.TermAt(Index(3)), Term(4));
  EXPECT_EQ(runs.TermAt(Index(4)), Term(4));
  EXPECT_EQ(runs.LastWithTermAtMost(Index(5), Term(2)), (EntryId{Index(3), Term(4)}));
  EXPECT_EQ(runs.TermAt(Index(2)), std::nullopt);
  EXPECT_EQ(runs.TermAt(Index(6)), std::nullopt);
  runs.TruncateFrom(Index(5));
  EXPECT_EQ(runs.last(), (EntryId{Index(4), Term(4)}));
  runs.CutThrough({Index(4), Term(4)});
  EXPECT_EQ(runs.first_index(), Index(5));
  EXPECT_EQ(runs.last(), (EntryId{Index(4), Term(4)}));
  runs.Append(Index(5), Index(5), Term(7));
  EXPECT_EQ(runs.TermAt(Index(5)), Term(7));
}

}  // namespace
}  // namespace mokv
