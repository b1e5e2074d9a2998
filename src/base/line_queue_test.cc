#include "base/line_queue.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace mokv {
namespace {

constexpr Duration kNoWait{0};
constexpr Duration kLong = std::chrono::seconds(60);

TEST(LineQueue, GivesLinesInOrder) {
  LineQueue queue;
  EXPECT_TRUE(queue.Push("a\n"));
  EXPECT_TRUE(queue.PushBulk("b\n", kNoWait));
  EXPECT_EQ(queue.Take(kNoWait), "a\nb\n");
  EXPECT_EQ(queue.Take(kNoWait), "");
}

// Goal: memory stays bounded while nobody reads, what was taken and not written included.
TEST(LineQueue, DropsAndCountsBeyondItsBound) {
  LineQueue queue;
  const std::string line(LineQueue::kBytesMax / 4, 'x');
  EXPECT_TRUE(queue.Push(line));
  EXPECT_TRUE(queue.Push(line));
  EXPECT_EQ(queue.Take(kNoWait).size(), 2 * line.size());
  EXPECT_TRUE(queue.Push(line));
  EXPECT_TRUE(queue.Push(line));
  EXPECT_FALSE(queue.Push("x"));
  EXPECT_EQ(queue.dropped(), 1U);
  queue.Written();
  EXPECT_TRUE(queue.Push("x"));
}

TEST(LineQueue, LeavesRoomThatLinesInMassesDoNotGet) {
  LineQueue queue;
  const std::string line(1000, 'x');
  while (queue.PushBulk(line, kNoWait)) {
  }
  EXPECT_EQ(queue.dropped(), 1U);
  EXPECT_TRUE(queue.Push("important\n"));
}

TEST(LineQueue, LinesInMassesWaitForASlowOutput) {
  LineQueue queue;
  const std::string line(1000, 'x');
  while (queue.PushBulk(line, kNoWait)) {
  }
  queue.Take(kNoWait);
  queue.Written();
  while (queue.PushBulk(line, kNoWait)) {
  }
  queue.Take(kNoWait);
  queue.Written();  // From here it does not count as standing still.
  while (queue.Push(line)) {
  }
  std::thread writer([&] {
    while (queue.Take(kLong).empty()) {
    }
    queue.Written();
  });
  EXPECT_TRUE(queue.PushBulk(line, kLong));
  writer.join();
}

TEST(LineQueue, FlushEndsOnceItIsWritten) {
  LineQueue queue;
  queue.Push("a\n");
  EXPECT_FALSE(queue.Flush(kNoWait));
  std::thread writer([&] {
    while (queue.Take(kLong).empty()) {
    }
    queue.Written();
  });
  EXPECT_TRUE(queue.Flush(kLong));
  writer.join();
}

TEST(LineQueue, CloseEndsTheWaitForLines) {
  LineQueue queue;
  std::thread writer([&] { EXPECT_EQ(queue.Take(kLong), ""); });
  queue.Close();
  writer.join();
  EXPECT_TRUE(queue.closed());
}

}  // namespace
}  // namespace mokv
