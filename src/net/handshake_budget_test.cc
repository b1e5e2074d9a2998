#include "net/handshake_budget.h"

#include <gtest/gtest.h>

namespace mokv::net {
namespace {

TEST(HandshakeBudgetTest, GivesEachTurnItsSteps) {
  HandshakeBudget budget;
  for (int turn = 0; turn < 3; ++turn) {
    for (int i = 0; i < HandshakeBudget::kStepsPerTurnMax; ++i) EXPECT_TRUE(budget.TakeStep());
    EXPECT_FALSE(budget.TakeStep());
    EXPECT_FALSE(budget.TakeStep());
    budget.BeginTurn();
  }
}

}  // namespace
}  // namespace mokv::net
