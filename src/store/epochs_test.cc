#include "store/epochs.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace mokv::store {
namespace {

class EpochsTest : public testing::Test {
 protected:
  void RetireOne() { epochs_.Retire(heap_.Allocate(100)); }

  Heap heap_;
  Epochs epochs_{heap_};
};

TEST_F(EpochsTest, FreesAtOnceWhenNobodyIsInside) {
  RetireOne();
  EXPECT_GT(heap_.used_bytes(), 0u);
  epochs_.Reclaim(true);
  EXPECT_EQ(heap_.used_bytes(), 0u);
}

TEST_F(EpochsTest, WaitsForThoseWhoCameBeforeOnly) {
  std::optional<EpochGuard> before(epochs_);
  RetireOne();
  epochs_.Reclaim(true);
  EXPECT_GT(heap_.used_bytes(), 0u);
  // Came after the memory was unlinked.
  const EpochGuard after(epochs_);
  epochs_.Reclaim(true);
  EXPECT_GT(heap_.used_bytes(), 0u);
  before.reset();
  epochs_.Reclaim(true);
  EXPECT_EQ(heap_.used_bytes(), 0u);
}

TEST_F(EpochsTest, OneThreadMayBeInsideSeveralTimes) {
  std::vector<Epochs::Slot*> slots;
  for (size_t i = 0; i < Epochs::kSlots; ++i) slots.push_back(&epochs_.Enter());
  RetireOne();
  for (size_t i = 0; i + 1 < slots.size(); ++i) Epochs::Leave(*slots[i]);
  epochs_.Reclaim(true);
  EXPECT_GT(heap_.used_bytes(), 0u);
  Epochs::Leave(*slots.back());
  epochs_.Reclaim(true);
  EXPECT_EQ(heap_.used_bytes(), 0u);
}

TEST_F(EpochsTest, WhatNobodyLooksAtIsBounded) {
  uint64_t most = 0;
  for (int i = 0; i < 10'000; ++i) {
    RetireOne();
    epochs_.Reclaim(false);
    most = std::max(most, heap_.used_bytes());
  }
  EXPECT_LT(most, 1000 * 100u);
}

}  // namespace
}  // namespace mokv::store
