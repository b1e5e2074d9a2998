#include "rpc/receive_window.h"

#include <gtest/gtest.h>

namespace mokv::rpc {
namespace {

TEST(ReceiveWindowTest, GrowsAtOnceUntilTooMuchIsHeld) {
  ReceiveWindow window(100);
  EXPECT_EQ(window.OnReceived(60), size_t{60});
  EXPECT_EQ(window.OnReceived(40), size_t{40});
  EXPECT_EQ(window.OnReceived(1), size_t{0});
  EXPECT_EQ(window.OnReceived(9), size_t{0});
  EXPECT_EQ(window.OnReleased(9), size_t{0});
  EXPECT_EQ(window.OnReleased(1), size_t{10}) << "all that was owed";
  EXPECT_EQ(window.OnReleased(100), size_t{0});
}

}  // namespace
}  // namespace mokv::rpc
