#include "net/io_pool.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <future>

#include "net/poller.h"
#include "net/worker.h"

namespace mokv::net {
namespace {

TEST(IoPool, RunsPostedTasksInOrderOnItsThread) {
  IoPool pool(2);
  pool.Start();
  std::vector<int> seen;
  std::promise<bool> done;
  for (int i = 0; i < 1000; ++i) {
    pool.thread(1).Post([&seen, i] { seen.push_back(i); });
  }
  pool.thread(1).Post([&] { done.set_value(pool.thread(1).IsCurrent()); });
  EXPECT_TRUE(done.get_future().get());
  ASSERT_EQ(seen.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(seen[static_cast<size_t>(i)], i);
}

TEST(IoPool, RunsTurnEndAfterTheTurnsTasks) {
  IoPool pool(1);
  std::atomic<int> ran{0};
  std::promise<int> at_turn_end;
  bool told = false;
  pool.thread(0).AtTurnEnd([&] {
    if (ran == 2 && !told) {
      told = true;
      at_turn_end.set_value(ran);
    }
  });
  pool.Start();
  pool.thread(0).Post([&] { ++ran; });
  pool.thread(0).Post([&] { ++ran; });
  EXPECT_EQ(at_turn_end.get_future().get(), 2);
  pool.Stop();
}

// Goal: a thread that always has something to do must still end its turns: answers leave then.
TEST(IoPool, EndsItsTurnsHoweverBusyItIs) {
  IoPool pool(1);
  std::promise<void> ended;
  std::atomic<bool> told{false};
  pool.thread(0).AtTurnEnd([&] {
    if (!told.exchange(true)) ended.set_value();
  });
  std::function<void()> again = [&] {
    if (!told) pool.thread(0).Post(again);
  };
  pool.thread(0).Post(again);
  pool.Start();
  EXPECT_EQ(ended.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  told = true;
  pool.Stop();
}

// Goal: what must come after all that has arrived (see Replica::TickIfDue) can be made to.
TEST(IoPool, HandlesReadySocketsBeforeASecondPost) {
  struct Reader final : Poller::Target {
    void OnReady(uint32_t) override {
      ready = true;
      poller->Remove(fd, this);
    }
    Poller* poller = nullptr;
    int fd = -1;
    bool ready = false;
  };
  std::array<int, 2> ends{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
  Reader reader;
  std::promise<bool> read_by_then;
  IoPool pool(1);
  IoThread& thread = pool.thread(0);
  pool.Start();
  thread.Post([&] {
    reader.poller = &thread.poller();
    reader.fd = ends[0];
    thread.poller().Add(ends[0], EPOLLIN, &reader);
    // Later, so that this thread's own wait has begun: what is tested is a socket that becomes
    // ready while a task runs.
    thread.Post([&] {
      ASSERT_EQ(write(ends[1], "x", 1), 1);
      thread.Post([&] { thread.Post([&] { read_by_then.set_value(reader.ready); }); });
    });
  });
  EXPECT_TRUE(read_by_then.get_future().get());
  pool.Stop();
  close(ends[0]);
  close(ends[1]);
}

// Goal:   a task wakes its thread, whether that waits for its sockets alone or through Asio.
// Method: two threads post to each other. Every hundredth time one of them first waits for a timer that
//         is long enough for both to come to rest.
TEST(IoPool, LosesNoWakeUp) {
  constexpr int kPosts = 5000;
  IoPool pool(2);
  std::promise<void> done;
  Timer timer(pool.thread(0));
  std::function<void(int)> post = [&](int left) {
    if (left == 0) return done.set_value();
    IoThread& next = pool.thread(left % 2 == 0 ? 1 : 0);
    const auto go_on = [&, left] { next.Post([&, left] { post(left - 1); }); };
    if (left % 100 == 0 && pool.thread(0).IsCurrent()) {
      timer.Start(std::chrono::milliseconds(5), go_on);
    } else {
      go_on();
    }
  };
  pool.Start();
  pool.thread(0).Post([&] { post(kPosts); });
  EXPECT_EQ(done.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready);
  pool.Stop();
}

// Goal: what Asio has for a thread gets its turn, also while tasks leave the thread no rest.
TEST(Timer, RunsOnABusyThread) {
  IoPool pool(1);
  IoThread& thread = pool.thread(0);
  std::promise<void> done;
  std::atomic<bool> ran{false};
  std::unique_ptr<Timer> timer;
  std::function<void()> again = [&] {
    if (!ran) thread.Post(again);
  };
  pool.Start();
  thread.Post([&] {
    timer = std::make_unique<Timer>(thread);
    timer->Start(std::chrono::milliseconds(20), [&] {
      ran = true;
      timer.reset();
      done.set_value();
    });
    again();
  });
  EXPECT_EQ(done.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready);
  ran = true;
  pool.Stop();
}

TEST(Timer, CancelledTimerDoesNotRun) {
  IoPool pool(1);
  pool.Start();
  std::promise<bool> done;
  std::unique_ptr<Timer> cancelled;
  std::unique_ptr<Timer> kept;
  bool cancelled_ran = false;
  pool.thread(0).Post([&] {
    cancelled = std::make_unique<Timer>(pool.thread(0));
    kept = std::make_unique<Timer>(pool.thread(0));
    cancelled->Start(std::chrono::milliseconds(1), [&] { cancelled_ran = true; });
    kept->Start(std::chrono::milliseconds(5), [&] { done.set_value(cancelled_ran); });
    cancelled->Cancel();
  });
  EXPECT_FALSE(done.get_future().get());
  pool.Stop();
}

TEST(Worker, RunsEverythingPostedBeforeStop) {
  int ran = 0;
  Worker worker("test");
  for (int i = 0; i < 100; ++i) worker.Post([&] { ++ran; });
  worker.Stop();
  EXPECT_EQ(ran, 100);
  worker.Post([&] { ++ran; });
  EXPECT_EQ(ran, 100);
}

}  // namespace
}  // namespace mokv::net
