#include "base/give_back.h"

#include <gtest/gtest.h>

namespace mokv {
namespace {

TEST(GiveBackTest, LeavesNoBuffer) {
  std::string text(1 << 20, 'x');
  GiveBack(text);
  EXPECT_EQ(text, "");
  EXPECT_LT(text.capacity(), size_t{100});
}

}  // namespace
}  // namespace mokv
