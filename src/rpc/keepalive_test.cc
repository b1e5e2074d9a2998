#include "rpc/keepalive.h"

#include <gtest/gtest.h>

namespace mokv::rpc {
namespace {

using std::chrono::seconds;
using Verdict = Keepalive::Verdict;

constexpr MonotonicTime At(int64_t s) { return MonotonicTime{seconds(s)}; }

class KeepaliveTest : public testing::Test {
 protected:
  Keepalive keepalive_{seconds(60), seconds(20), At(1'000)};
};

TEST_F(KeepaliveTest, AsksOnceAfterSilenceAndGivesUpWithoutAnAnswer) {
  EXPECT_EQ(keepalive_.Check(At(1'059)), Verdict::kAlive);
  EXPECT_EQ(keepalive_.Check(At(1'060)), Verdict::kAsk);
  EXPECT_EQ(keepalive_.Check(At(1'061)), Verdict::kAlive);
  EXPECT_EQ(keepalive_.Check(At(1'079)), Verdict::kAlive);
  EXPECT_EQ(keepalive_.Check(At(1'080)), Verdict::kDead);
}

TEST_F(KeepaliveTest, AnAnswerBeginsAnotherIdleTime) {
  EXPECT_EQ(keepalive_.Check(At(1'060)), Verdict::kAsk);
  keepalive_.OnBytes(At(1'079));
  EXPECT_EQ(keepalive_.Check(At(1'080)), Verdict::kAlive);
  EXPECT_EQ(keepalive_.Check(At(1'138)), Verdict::kAlive);
  EXPECT_EQ(keepalive_.Check(At(1'139)), Verdict::kAsk);
  EXPECT_EQ(keepalive_.Check(At(1'159)), Verdict::kDead);
}

TEST_F(KeepaliveTest, ABusyClientIsNeverAsked) {
  for (int64_t s = 1'000; s < 10'000; s += 50) {
    keepalive_.OnBytes(At(s));
    EXPECT_EQ(keepalive_.Check(At(s + 49)), Verdict::kAlive);
  }
}

// A look that comes late, because the machine slept or the thread was busy, asks before it judges.
TEST_F(KeepaliveTest, LateLookAsksFirst) {
  EXPECT_EQ(keepalive_.Check(At(9'000)), Verdict::kAsk);
  EXPECT_EQ(keepalive_.Check(At(9'019)), Verdict::kAlive);
}

}  // namespace
}  // namespace mokv::rpc
