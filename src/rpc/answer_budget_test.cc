#include "rpc/answer_budget.h"

#include <gtest/gtest.h>

namespace mokv::rpc {
namespace {

constexpr uint64_t kLarge = AnswerBudget::kSmallBytes + 1;

TEST(AnswerBudgetTest, AdmitsUpToTheLimit) {
  AnswerBudget budget(3 * kLarge);
  budget.Add(kLarge);
  EXPECT_TRUE(budget.Admits(2 * kLarge));
  EXPECT_FALSE(budget.Admits(2 * kLarge + 1));
}

TEST(AnswerBudgetTest, AdmitsTheFirstOfAnySize) {
  AnswerBudget budget(kLarge);
  EXPECT_TRUE(budget.Admits(100 * kLarge));
  budget.Add(100 * kLarge);
  EXPECT_FALSE(budget.Admits(kLarge));
  budget.Remove(100 * kLarge);
  EXPECT_TRUE(budget.Admits(kLarge));
}

TEST(AnswerBudgetTest, AlwaysAdmitsSmallOnes) {
  AnswerBudget budget(kLarge);
  budget.Add(100 * kLarge);
  EXPECT_TRUE(budget.Admits(AnswerBudget::kSmallBytes));
}

TEST(AnswerBudgetTest, ReleasesStreamsOnceThereIsRoom) {
  AnswerBudget budget(10);
  budget.Add(11);
  EXPECT_TRUE(budget.spent());
  budget.Hold(1);
  budget.Hold(3);
  budget.Remove(1);
  EXPECT_FALSE(budget.has_released()) << "ten still wait";
  budget.Remove(1);
  EXPECT_FALSE(budget.spent());
  ASSERT_TRUE(budget.has_released());
  EXPECT_EQ(budget.TakeReleased(), (std::vector<int32_t>{1, 3}));
  EXPECT_FALSE(budget.has_released());
}

}  // namespace
}  // namespace mokv::rpc
