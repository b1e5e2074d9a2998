#include "rpc/ping_policy.h"

#include <gtest/gtest.h>

namespace mokv::rpc {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr MonotonicTime At(int64_t s) { return MonotonicTime{seconds(s)}; }

class PingPolicyTest : public testing::Test {
 protected:
  PingPolicy policy_{{seconds(5), hours(2), 2}};
};

TEST_F(PingPolicyTest, TwoThatComeTooEarlyAreForgiven) {
  EXPECT_TRUE(policy_.Allows(At(100), true)) << "the first one is never too early";
  EXPECT_TRUE(policy_.Allows(At(101), true));
  EXPECT_TRUE(policy_.Allows(At(105), true));
  EXPECT_FALSE(policy_.Allows(At(109), true));
}

TEST_F(PingPolicyTest, WhoKeepsTheIntervalMayGoOnForEver) {
  for (int64_t s = 0; s < 100'000; s += 5) ASSERT_TRUE(policy_.Allows(At(s), true)) << s;
}

// Goal: time alone forgives nothing, as in gRPC.
TEST_F(PingPolicyTest, StrikesAddUpHoweverFarApart) {
  EXPECT_TRUE(policy_.Allows(At(0), true));
  EXPECT_TRUE(policy_.Allows(At(1), true));
  EXPECT_TRUE(policy_.Allows(At(1'000), true));
  EXPECT_TRUE(policy_.Allows(At(1'001), true));
  EXPECT_TRUE(policy_.Allows(At(2'000), true));
  EXPECT_FALSE(policy_.Allows(At(2'001), true));
}

TEST_F(PingPolicyTest, AnAnswerWipesStrikesOut) {
  for (int i = 0; i < 1'000; ++i) {
    for (int ping = 0; ping < 3; ++ping) ASSERT_TRUE(policy_.Allows(At(0), true)) << i;
    policy_.OnAnswer();
  }
}

TEST_F(PingPolicyTest, WithoutCallsTheIntervalMayBeLonger) {
  EXPECT_TRUE(policy_.Allows(At(0), false));
  EXPECT_TRUE(policy_.Allows(At(100), false));
  EXPECT_TRUE(policy_.Allows(At(200), true)) << "long enough with a call";
  EXPECT_TRUE(policy_.Allows(At(300), false));
  EXPECT_FALSE(policy_.Allows(At(400), false));
}

TEST_F(PingPolicyTest, NoIntervalAllowsAll) {
  PingPolicy policy({seconds(0), seconds(0), 0});
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(policy.Allows(At(0), false)) << i;
}

}  // namespace
}  // namespace mokv::rpc
