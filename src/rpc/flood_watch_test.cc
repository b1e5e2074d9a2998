#include "rpc/flood_watch.h"

#include <gtest/gtest.h>

namespace mokv::rpc {
namespace {

using std::chrono::seconds;

constexpr size_t kLimit = 1'000;
constexpr MonotonicTime At(int64_t s) { return MonotonicTime{seconds(s)}; }

class FloodWatchTest : public testing::Test {
 protected:
  // A header of 100 bytes as RFC 9113, 6.5.2 counts, `times` times in a block.
  bool Block(int times, MonotonicTime now) {
    watch_.OnHeaders();
    for (int i = 0; i < times; ++i) {
      if (!watch_.OnHeader(68, now)) return false;
    }
    return true;
  }

  FloodWatch watch_{kLimit, At(0)};
};

TEST_F(FloodWatchTest, BlocksWithinTheLimitAreNoFlood) {
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(Block(10, At(0)));
  EXPECT_EQ(watch_.flood(), "");
}

TEST_F(FloodWatchTest, BlocksOverTheLimitAreForgivenSomeTimes) {
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Block(11, At(0))) << i;
  EXPECT_TRUE(Block(11, At(1))) << "one a second from then on";
  EXPECT_FALSE(Block(11, At(1)));
  EXPECT_EQ(watch_.flood(), "headers over the limit");
}

// However long a block is, it counts once, unless it is far over the limit.
TEST_F(FloodWatchTest, ABlockFarOverTheLimitIsAFloodAtOnce) {
  EXPECT_TRUE(Block(80, At(0)));
  EXPECT_FALSE(Block(81, At(0)));
  EXPECT_EQ(watch_.flood(), "headers far over the limit");
}

TEST_F(FloodWatchTest, EmptyDataIsAFloodInGreatNumbers) {
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(watch_.OnEmptyData(At(0)));
  EXPECT_FALSE(watch_.OnEmptyData(At(0)));
  EXPECT_EQ(watch_.flood(), "DATA frames without data");
}

}  // namespace
}  // namespace mokv::rpc
