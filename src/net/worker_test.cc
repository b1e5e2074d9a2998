#include "net/worker.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <vector>

#include "base/clock.h"

namespace mokv::net {
namespace {

void Spend(Duration time) {
  const MonotonicTime until = SystemClock().Now() + time;
  while (SystemClock().Now() < until) {
  }
}

int NiceOf(Worker& worker) {
  std::promise<int> nice;
  worker.Post([&] { nice.set_value(getpriority(PRIO_PROCESS, 0)); });
  return nice.get_future().get();
}

TEST(Worker, RunsTasksInOrderAndAllOfThemBeforeItStops) {
  for (const Pace pace : {Pace::kFull, Pace::kGentle}) {
    std::vector<int> ran;
    Worker worker("test", pace);
    for (int i = 0; i < 100; ++i) worker.Post([&ran, i] { ran.push_back(i); });
    worker.Stop();
    worker.Post([&ran] { ran.push_back(-1); });
    ASSERT_EQ(ran.size(), 100U);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(ran[static_cast<size_t>(i)], i);
  }
}

TEST(Worker, AGentleOneHasALowerPriorityThanTheOthers) {
  const int own = getpriority(PRIO_PROCESS, 0);
  Worker full("full");
  Worker gentle("gentle", Pace::kGentle);
  EXPECT_EQ(NiceOf(full), own);
  EXPECT_EQ(NiceOf(gentle), std::min(own + Worker::kNice, 19));
}

TEST(Worker, AGentleOneRestsAsLongAsItsTasksTook) {
  constexpr int kTasks = 10;
  constexpr Duration kTask = std::chrono::milliseconds(5);
  Worker worker("gentle", Pace::kGentle);
  std::promise<void> done;
  const MonotonicTime begin = SystemClock().Now();
  for (int i = 0; i < kTasks; ++i) worker.Post([&] { Spend(kTask); });
  worker.Post([&] { done.set_value(); });
  done.get_future().wait();
  EXPECT_GE(SystemClock().Now() - begin, 2 * kTasks * kTask);
}

// Goal:   a rest holds up neither the end of the thread nor what was posted before it.
// Method: stop while it must be resting, with tasks behind: each would rest for kRestMax.
TEST(Worker, StopEndsRests) {
  constexpr int kTasks = 300;
  Worker worker("gentle", Pace::kGentle);
  std::promise<void> began;
  int ran = 0;
  worker.Post([&] {
    began.set_value();
    Spend(Worker::kRestMax);
  });
  for (int i = 0; i < kTasks; ++i) {
    worker.Post([&] {
      Spend(std::chrono::milliseconds(1));
      ++ran;
    });
  }
  began.get_future().wait();
  worker.Stop();
  EXPECT_EQ(ran, kTasks);
}

}  // namespace
}  // namespace mokv::net
