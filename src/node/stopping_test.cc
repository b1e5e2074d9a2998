#include "node/stopping.h"

#include <gtest/gtest.h>

#include <string>

#include "base/testing/fake_clock.h"

namespace mokv {
namespace {

using std::chrono::milliseconds;

TEST(Stopping, RunsItsStepsInOrderAndSaysWhatTookTime) {
  FakeClock clock;
  Stopping stopping(clock);
  std::string order;
  stopping.Add("first", milliseconds(10), [&] {
    order += "1";
    clock.now = clock.now + milliseconds(3);
  });
  stopping.Add("second", milliseconds(10), [&] { order += "2"; });
  stopping.Add("third", milliseconds(10), [&] {
    order += "3";
    clock.now = clock.now + milliseconds(20);
  });
  EXPECT_EQ(stopping.Run(), "first 3 ms, third 20 ms");
  EXPECT_EQ(order, "123");
  EXPECT_EQ(stopping.Run(), "") << "once";
}

}  // namespace
}  // namespace mokv
