#include "net/handshake_budget.h"

#include <gtest/gtest.h>

namespace mokv::net {
namespace {

struct Asker final : HandshakeBudget::Waiter {
  void Step() override {}
};

TEST(HandshakeBudgetTest, GivesEachTurnItsSteps) {
  HandshakeBudget budget;
  Asker asker;
  for (size_t i = 0; i < HandshakeBudget::kStepsPerTurnMax; ++i) {
    EXPECT_TRUE(budget.TakeStep(&asker));
  }
  EXPECT_FALSE(budget.TakeStep(&asker));
  EXPECT_TRUE(budget.has_waiters());
}

TEST(HandshakeBudgetTest, WhoWaitsComesBeforeWhoAsksLater) {
  HandshakeBudget budget;
  Asker first;
  for (size_t i = 0; i < HandshakeBudget::kStepsPerTurnMax; ++i) budget.TakeStep(&first);
  Asker waiters[HandshakeBudget::kStepsPerTurnMax + 1];
  for (Asker& waiter : waiters) EXPECT_FALSE(budget.TakeStep(&waiter));
  budget.BeginTurn();
  for (size_t i = 0; i < HandshakeBudget::kStepsPerTurnMax; ++i) {
    EXPECT_EQ(budget.TakeDue(), &waiters[i]);
  }
  EXPECT_EQ(budget.TakeDue(), nullptr);
  EXPECT_FALSE(budget.TakeStep(&first)) << "the steps of this turn were theirs";
  budget.BeginTurn();
  EXPECT_EQ(budget.TakeDue(), &waiters[HandshakeBudget::kStepsPerTurnMax]);
  EXPECT_EQ(budget.TakeDue(), &first);
  EXPECT_EQ(budget.TakeDue(), nullptr);
  EXPECT_FALSE(budget.has_waiters());
}

TEST(HandshakeBudgetTest, WhoHasLeftTakesNobodysStep) {
  HandshakeBudget budget;
  Asker first;
  for (size_t i = 0; i < HandshakeBudget::kStepsPerTurnMax; ++i) budget.TakeStep(&first);
  Asker gone;
  Asker stays;
  budget.TakeStep(&gone);
  budget.TakeStep(&stays);
  budget.Leave(&gone);
  budget.BeginTurn();
  EXPECT_EQ(budget.TakeDue(), &stays);
  EXPECT_EQ(budget.TakeDue(), nullptr);
}

}  // namespace
}  // namespace mokv::net
