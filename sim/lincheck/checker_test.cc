#include "sim/lincheck/checker.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/random.h"

namespace mokv::lincheck {
namespace {

using Text = std::optional<std::string>;

Operation Get(int64_t start, int64_t end, Text value) {
  return {.kind = Kind::kGet, .key = "k", .value = std::move(value), .start = start, .end = end};
}
Operation Set(int64_t start, int64_t end, std::string value, Outcome outcome = Outcome::kDone) {
  return {.kind = Kind::kSet,
          .key = "k",
          .value = std::move(value),
          .outcome = outcome,
          .start = start,
          .end = end};
}
Operation Delete(int64_t start, int64_t end, Outcome outcome = Outcome::kDone) {
  return {.kind = Kind::kDelete, .key = "k", .outcome = outcome, .start = start, .end = end};
}
Operation Cas(int64_t start, int64_t end, Text expected, std::string value,
              Outcome outcome = Outcome::kDone) {
  return {.kind = Kind::kCas,
          .key = "k",
          .value = std::move(value),
          .expected = std::move(expected),
          .outcome = outcome,
          .start = start,
          .end = end};
}

Answer AnswerTo(const std::vector<Operation>& history) { return Check(history).answer; }

TEST(Check, AcceptsWhatCanBeOrdered) {
  EXPECT_EQ(AnswerTo({}), Answer::kLinearizable);
  EXPECT_EQ(AnswerTo({Get(1, 2, {})}), Answer::kLinearizable);
  EXPECT_EQ(AnswerTo({Set(1, 2, "a"), Get(3, 4, "a"), Delete(5, 6), Get(7, 8, {})}),
            Answer::kLinearizable);
  // A read beside a write may see either.
  EXPECT_EQ(AnswerTo({Set(1, 2, "a"), Set(3, 9, "b"), Get(4, 5, "a"), Get(6, 7, "b")}),
            Answer::kLinearizable);
  EXPECT_EQ(AnswerTo({Cas(1, 2, {}, "a"), Cas(3, 4, "a", "b"), Get(5, 6, "b")}),
            Answer::kLinearizable);
  EXPECT_EQ(AnswerTo({Set(1, 2, "a"), Cas(3, 4, "b", "c", Outcome::kNotDone), Get(5, 6, "a")}),
            Answer::kLinearizable);
  // Ends and begins at the same time overlap.
  EXPECT_EQ(AnswerTo({Set(1, 2, "a"), Get(2, 3, {})}), Answer::kLinearizable);
}

TEST(Check, RefusesStaleReads) {
  EXPECT_EQ(AnswerTo({Set(1, 2, "a"), Get(3, 4, {})}), Answer::kNotLinearizable);
  EXPECT_EQ(AnswerTo({Set(1, 2, "a"), Set(3, 4, "b"), Get(5, 6, "a")}), Answer::kNotLinearizable);
  // New, then old again.
  EXPECT_EQ(AnswerTo({Set(1, 2, "a"), Set(3, 9, "b"), Get(4, 5, "b"), Get(6, 7, "a")}),
            Answer::kNotLinearizable);
  EXPECT_EQ(AnswerTo({Get(1, 2, "never written")}), Answer::kNotLinearizable);
}

TEST(Check, RefusesLostUpdates) {
  EXPECT_EQ(AnswerTo({Set(1, 2, "a"), Cas(3, 8, "a", "b"), Cas(4, 9, "a", "c")}),
            Answer::kNotLinearizable);
  EXPECT_EQ(AnswerTo({Set(1, 2, "a"), Cas(3, 4, "a", "b", Outcome::kNotDone)}),
            Answer::kNotLinearizable);
}

TEST(Check, UnknownMayHappenLateOrNever) {
  EXPECT_EQ(AnswerTo({Set(1, kNever, "a", Outcome::kUnknown), Get(5, 6, {}), Get(7, 8, "a")}),
            Answer::kLinearizable);
  EXPECT_EQ(AnswerTo({Set(1, kNever, "a", Outcome::kUnknown), Get(5, 6, {})}),
            Answer::kLinearizable);
  // But only once, and not before it began.
  EXPECT_EQ(AnswerTo({Set(1, kNever, "a", Outcome::kUnknown), Get(5, 6, "a"), Delete(7, 8),
                      Get(9, 10, "a")}),
            Answer::kNotLinearizable);
  EXPECT_EQ(AnswerTo({Get(1, 2, "a"), Set(3, kNever, "a", Outcome::kUnknown)}),
            Answer::kNotLinearizable);
  // Not even that: certainly not done.
  EXPECT_EQ(AnswerTo({Set(1, 2, "a", Outcome::kNotDone), Get(3, 4, "a")}),
            Answer::kNotLinearizable);
  // Nobody reads it, but it explains why the comparison failed.
  EXPECT_EQ(AnswerTo({Set(1, 2, "a"), Set(3, kNever, "b", Outcome::kUnknown),
                      Cas(5, 6, "a", "c", Outcome::kNotDone)}),
            Answer::kLinearizable);
  EXPECT_EQ(AnswerTo({Delete(1, kNever, Outcome::kUnknown), Set(2, 3, "a"), Get(4, 5, "a"),
                      Get(6, 7, {})}),
            Answer::kLinearizable);
}

TEST(Check, JudgesEachKeyOnItsOwn) {
  Operation other = Set(1, 2, "a");
  other.key = "other";
  EXPECT_EQ(AnswerTo({other, Get(3, 4, {})}), Answer::kLinearizable);
  Operation stale = Get(3, 4, {});
  stale.key = "other";
  const Verdict verdict = Check({Set(1, 2, "x"), other, stale, Get(5, 6, "x")});
  EXPECT_EQ(verdict.answer, Answer::kNotLinearizable);
  EXPECT_EQ(verdict.key, "other");
}

// Goal: what is shown is only what does not fit together, not all that came before and after.
TEST(Check, ShowsTheSmallestWindow) {
  std::vector<Operation> history;
  for (int64_t i = 0; i < 100; ++i) {
    history.push_back(Set(10 * i, 10 * i + 2, fmt::format("{}", i)));
    history.push_back(Get(10 * i + 4, 10 * i + 6, fmt::format("{}", i == 50 ? 49 : i)));
  }
  const Verdict verdict = Check(history);
  ASSERT_EQ(verdict.answer, Answer::kNotLinearizable);
  ASSERT_EQ(verdict.window.size(), 2u);
  EXPECT_EQ(ToString(verdict.window[0]), ToString(history[100]));
  EXPECT_EQ(ToString(verdict.window[1]), ToString(history[101]));
}

TEST(Check, GivesUpAtItsLimit) {
  std::vector<Operation> history;
  for (int i = 0; i < 40; ++i) {
    history.push_back(Cas(0, 100, fmt::format("{}", i), fmt::format("{}", i + 1)));
    history.push_back(Set(0, 100, fmt::format("{}", i)));
  }
  history.push_back(Get(200, 201, "1"));
  history.push_back(Get(202, 203, "2"));
  EXPECT_EQ(Check(history, {.configurations_max = 1000}).answer, Answer::kGaveUp);
}

// Every order of every subset that leaves out only what is unknown.
bool CanBeOrdered(const std::vector<Operation>& history) {
  std::vector<size_t> order(history.size());
  std::iota(order.begin(), order.end(), size_t{0});
  do {
    for (size_t mask = 0; mask < size_t{1} << order.size(); ++mask) {
      Text state;
      bool fits = true;
      std::vector<const Operation*> taken;
      for (size_t i = 0; i < order.size() && fits; ++i) {
        const Operation& operation = history[order[i]];
        const bool says_nothing =
            (operation.kind == Kind::kGet && operation.outcome != Outcome::kDone) ||
            (operation.kind != Kind::kCas && operation.outcome == Outcome::kNotDone);
        if ((mask >> order[i] & 1) != 0) {
          fits = operation.outcome == Outcome::kUnknown || says_nothing;
          continue;
        }
        if (says_nothing) continue;
        for (const Operation* before : taken) fits &= operation.end >= before->start;
        taken.push_back(&operation);
        switch (operation.kind) {
          case Kind::kGet:
            fits &= state == operation.value;
            break;
          case Kind::kSet:
            state = operation.value;
            break;
          case Kind::kDelete:
            state.reset();
            break;
          case Kind::kCas:
            if (operation.outcome == Outcome::kNotDone) {
              fits &= state != operation.expected;
            } else {
              fits &= state == operation.expected;
              state = operation.value;
            }
            break;
        }
      }
      if (fits) return true;
    }
  } while (std::next_permutation(order.begin(), order.end()));
  return false;
}

Operation RandomOperation(SeededRandom& random) {
  const auto value = [&] { return fmt::format("{}", random.Next() % 2); };
  const auto maybe = [&]() -> Text {
    return random.Next() % 3 == 0 ? Text() : Text(fmt::format("{}", random.Next() % 2));
  };
  const auto start = static_cast<int64_t>(random.Next() % 10);
  int64_t end = start + static_cast<int64_t>(random.Next() % 5);
  Outcome outcome = Outcome::kDone;
  if (random.Next() % 4 == 0) outcome = Outcome::kUnknown;
  if (random.Next() % 6 == 0) outcome = Outcome::kNotDone;
  if (outcome == Outcome::kUnknown) end = kNever;
  Operation operation;
  switch (random.Next() % 4) {
    case 0:
      operation = Get(start, end, maybe());
      break;
    case 1:
      operation = Set(start, end, value());
      break;
    case 2:
      operation = Delete(start, end);
      break;
    default:
      operation = Cas(start, end, maybe(), value());
  }
  operation.outcome = outcome;
  return operation;
}

// Goal: the search answers as trying everything does.
TEST(Check, AgreesWithTryingEverything) {
  constexpr uint64_t kSeed = 5;
  SeededRandom random(kSeed);
  int linearizable = 0;
  constexpr int kHistories = 3000;
  for (int i = 0; i < kHistories; ++i) {
    std::vector<Operation> history(1 + random.Next() % 5);
    for (Operation& operation : history) operation = RandomOperation(random);
    const bool expected = CanBeOrdered(history);
    linearizable += expected ? 1 : 0;
    std::string text;
    for (const Operation& operation : history) text += ToString(operation) + "\n";
    ASSERT_EQ(AnswerTo(history), expected ? Answer::kLinearizable : Answer::kNotLinearizable)
        << "seed " << kSeed << " history " << i << "\n"
        << text;
  }
  EXPECT_GT(linearizable, kHistories / 10);
  EXPECT_LT(linearizable, kHistories * 9 / 10);
}

// Goal: a long history of many clients on one key, some of whose answers got lost, is judged.
TEST(Check, JudgesLongHistories) {
  constexpr uint64_t kSeed = 6;
  SeededRandom random(kSeed);
  enum class Spoiled { kNot, kStale, kUnwritten };
  for (const Spoiled spoiled : {Spoiled::kNot, Spoiled::kStale, Spoiled::kUnwritten}) {
    std::vector<Operation> history;
    Text state;
    constexpr int kOperations = 1000;
    for (int i = 0; i < kOperations; ++i) {
      // Takes effect at 10 i; answers come while about ten others are under way.
      const auto start = 10 * i - static_cast<int64_t>(random.Next() % 100);
      const auto end = 10 * i + static_cast<int64_t>(random.Next() % 100);
      const std::string value = fmt::format("{}", i);
      switch (random.Next() % 4) {
        case 0:
          history.push_back(Set(start, end, value));
          state = value;
          break;
        case 1:
          history.push_back(Cas(start, end, state, value));
          state = value;
          break;
        default:
          history.push_back(Get(start, end, state));
      }
      if (history.back().kind == Kind::kSet && random.Next() % 10 == 0) {
        history.back().outcome = Outcome::kUnknown;
        history.back().end = kNever;
      }
    }
    if (spoiled == Spoiled::kStale) history.push_back(Get(5000, 5001, history[440].value));
    if (spoiled == Spoiled::kUnwritten) history.push_back(Get(5000, 5001, "never written"));
    EXPECT_EQ(AnswerTo(history),
              spoiled == Spoiled::kNot ? Answer::kLinearizable : Answer::kNotLinearizable);
  }
}

}  // namespace
}  // namespace mokv::lincheck
