// The engine's server and client channel against each other, in clear text over loopback.
#include "rpc/server.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "base/status.h"
#include "net/testing/loopback.h"
#include "rpc/testing/channel_call.h"
#include "rpc/testing/raw_server.h"

namespace mokv::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Numbers final : public MessageSource {
 public:
  explicit Numbers(uint64_t count) : count_(count) {}
  Next Produce(std::string* message) override {
    if (next_ == count_) return Next::kEnd;
    *message += std::to_string(next_++);
    return Next::kMessage;
  }

 private:
  uint64_t next_ = 0;
  const uint64_t count_;
};

// Waits before each message until it is woken.
class Woken final : public MessageSource {
 public:
  explicit Woken(std::shared_ptr<std::atomic<int>> allowed) : allowed_(std::move(allowed)) {}
  Next Produce(std::string* message) override {
    if (sent_ == 3) return Next::kEnd;
    if (sent_ >= *allowed_) return Next::kWait;
    *message += static_cast<char>('a' + sent_++);
    return Next::kMessage;
  }
  absl::Status status() const override { return absl::AbortedError("woken enough"); }

 private:
  std::shared_ptr<std::atomic<int>> allowed_;
  int sent_ = 0;
};

class Recorder final : public CallObserver {
 public:
  void OnCallFinished(const CallRecord& record) override {
    std::lock_guard<std::mutex> lock(mutex_);
    codes_.push_back(record.code);
    condition_.notify_all();
  }
  std::vector<absl::StatusCode> WaitFor(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    condition_.wait_for(lock, seconds(10), [&] { return codes_.size() >= count; });
    return codes_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  std::vector<absl::StatusCode> codes_;
};

class ServerTest : public testing::Test {
 protected:
  ServerTest() : pool_(2), server_(pool_, SmallLimits(), &recorder_) {
    server_.AddUnary("/t.T/Echo", Echo);
    server_.AddUnary("/t.T/Later", [this](UnaryCall& call) {
      later_.push_back(
          std::thread([responder = call.Defer(), text = std::string(call.request())]() mutable {
            responder.Finish(text + "!");
          }));
    });
    server_.AddUnary("/t.T/Never", [this](UnaryCall& call) {
      kept_.push_back(call.Defer({"deadline exceeded; outcome unknown", "fate", "unknown"}));
    });
    server_.AddUnary("/t.T/Dropped", [](UnaryCall& call) { call.Defer(); });
    server_.AddUnary("/t.T/Mute", [](UnaryCall& call) { call.response() += "half an answer"; });
    server_.AddUnary("/t.T/Fails", [](UnaryCall& call) {
      call.Fail(absl::FailedPreconditionError("100% wröng\nreally"));
    });
    server_.AddUnary("/t.T/FailsWith", [](UnaryCall& call) {
      call.Fail(absl::AbortedError("no"), {{"fate", "not-done"}, {"retry.in_ms", "20"}});
    });
    server_.AddUnary("/t.T/FailsLater", [](UnaryCall& call) {
      call.Defer().Fail(absl::AbortedError("no"), {{"fate", "unknown"}});
    });
    server_.AddServerStream("/t.T/StreamFails", [](ServerStreamCall& call) {
      call.Defer().Fail(absl::AbortedError("no"), {{"fate", "not-done"}});
    });
    server_.AddServerStream("/t.T/Count", [](ServerStreamCall& call) {
      call.Start(std::make_unique<Numbers>(std::stoull(std::string(call.request()))));
    });
    server_.AddServerStream("/t.T/Woken", [this](ServerStreamCall& call) {
      waker_.set_value(call.waker());
      call.Start(std::make_unique<Woken>(allowed_));
    });
    listener_ = net::BindLoopback(pool_, server_.protocol());
    pool_.Start();
    listener_->Start();
    channel_ = std::make_unique<Channel>(
        client_pool_.thread(0), Channel::Options{.target = {"127.0.0.1", listener_->port()}});
    client_pool_.Start();
  }

  ~ServerTest() override {
    channel_.reset();
    client_pool_.Stop();
    for (std::thread& thread : later_) thread.join();
    pool_.Stop();
    kept_.clear();
  }

  static Server::Options SmallLimits() {
    Server::Options options;
    options.message_bytes_max = 1 << 20;
    options.calls_per_connection_max = 100;
    return options;
  }

  std::future<CallResult> Begin(const std::string& method, std::string request,
                                Duration timeout = seconds(20)) {
    return BeginCall(*channel_, "/t.T/" + method, std::move(request), timeout);
  }
  std::future<CallResult> BeginStream(const std::string& method, std::string request) {
    return BeginStreamCall(*channel_, "/t.T/" + method, std::move(request));
  }

  Recorder recorder_;
  net::IoPool pool_;
  net::IoPool client_pool_{1};
  Server server_;
  std::unique_ptr<net::Listener> listener_;
  std::unique_ptr<Channel> channel_;
  std::vector<std::thread> later_;
  std::vector<Responder> kept_;
  std::promise<StreamWaker> waker_;
  std::shared_ptr<std::atomic<int>> allowed_ = std::make_shared<std::atomic<int>>(1);
};

TEST_F(ServerTest, AnswersAtOnceAndFromAnotherThread) {
  EXPECT_EQ(Begin("Echo", "hello").get().message, "hello");
  EXPECT_EQ(Begin("Echo", "").get().status, absl::OkStatus());
  EXPECT_EQ(Begin("Later", "hello").get().message, "hello!");
}

TEST_F(ServerTest, ServesMoreCallsThanOneConnectionMayHaveOpen) {
  std::vector<std::future<CallResult>> answers;
  for (int i = 0; i < 2'000; ++i) answers.push_back(Begin("Echo", std::to_string(i)));
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].get().message, std::to_string(i));
  }
}

TEST_F(ServerTest, CarriesStatusAndMessageUnharmed) {
  const CallResult answer = Begin("Fails", "").get();
  EXPECT_EQ(answer.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(MessageOf(answer.status), "100% wröng\nreally");
}

TEST_F(ServerTest, CarriesTheTrailersOfAFailure) {
  const CallResult at_once = Begin("FailsWith", "").get();
  EXPECT_EQ(at_once.status, absl::AbortedError("no"));
  EXPECT_EQ(at_once.trailers, (Metadata{{"fate", "not-done"}, {"retry.in_ms", "20"}}));
  EXPECT_EQ(at_once.reached, Reached::kMaybe);
  EXPECT_EQ(Begin("FailsLater", "").get().trailers, (Metadata{{"fate", "unknown"}}));
  EXPECT_EQ(BeginStream("StreamFails", "").get().trailers, (Metadata{{"fate", "not-done"}}));
  // A call that is used again has none of the last one's.
  EXPECT_EQ(Begin("Fails", "").get().trailers, Metadata());
  EXPECT_EQ(Begin("Echo", "").get().trailers, Metadata());
}

TEST_F(ServerTest, RefusesUnknownMethods) {
  const CallResult answer = Begin("Nothing", "").get();
  EXPECT_EQ(answer.status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(MessageOf(answer.status).find("/t.T/Nothing"), std::string_view::npos);
}

TEST_F(ServerTest, RefusesMessagesOverTheLimit) {
  const CallResult answer = Begin("Echo", std::string((1 << 20) + 1, 'x')).get();
  EXPECT_EQ(answer.status.code(), absl::StatusCode::kResourceExhausted) << answer.status;
  const std::string large(1 << 20, 'x');
  EXPECT_EQ(Begin("Echo", large).get().message, large);
}

TEST_F(ServerTest, DeadlineEndsTheCallWithTheHandlersWords) {
  // The connection is there before the deadline begins to run.
  EXPECT_EQ(Begin("Echo", "hello").get().message, "hello");
  const CallResult answer = Begin("Never", "", milliseconds(500)).get();
  EXPECT_EQ(answer.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(answer.reached, Reached::kMaybe);
  EXPECT_EQ(recorder_.WaitFor(2).size(), 2u);
}

TEST_F(ServerTest, DroppedResponderIsAnInternalError) {
  EXPECT_EQ(Begin("Dropped", "").get().status.code(), absl::StatusCode::kInternal);
}

TEST_F(ServerTest, HandlerThatSaysNothingIsAnInternalError) {
  const CallResult answer = Begin("Mute", "").get();
  EXPECT_EQ(answer.status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(answer.message, "");
}

TEST_F(ServerTest, StreamsWithFlowControl) {
  const CallResult answer = BeginStream("Count", "200000").get();
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  ASSERT_EQ(answer.messages.size(), 200'000u);
  for (size_t i = 0; i < answer.messages.size(); i += 997) {
    EXPECT_EQ(answer.messages[i], std::to_string(i));
  }
}

TEST_F(ServerTest, StreamWaitsUntilItIsWoken) {
  auto answer = BeginStream("Woken", "");
  const StreamWaker waker = waker_.get_future().get();
  EXPECT_EQ(answer.wait_for(milliseconds(20)), std::future_status::timeout);
  *allowed_ = 3;
  waker.Wake();
  EXPECT_EQ(answer.get().messages, (std::vector<std::string>{"a", "b", "c"}));
  waker.Wake();  // After the end: harmless.
}

TEST_F(ServerTest, CallsEndWithTheConnectionAndTheNextOneConnectsAgain) {
  auto open = Begin("Never", "");
  EXPECT_EQ(Begin("Echo", "x").get().message, "x");
  channel_.reset();
  EXPECT_EQ(open.get().status.code(), absl::StatusCode::kCancelled);
  const auto codes = recorder_.WaitFor(2);
  EXPECT_EQ(std::count(codes.begin(), codes.end(), absl::StatusCode::kCancelled), 1);
  channel_ = std::make_unique<Channel>(
      client_pool_.thread(0), Channel::Options{.target = {"127.0.0.1", listener_->port()}});
  EXPECT_EQ(Begin("Echo", "y").get().message, "y");
}

TEST_F(ServerTest, DrainLetsOpenCallsEnd) {
  EXPECT_EQ(Begin("Echo", "x").get().message, "x");
  auto stream = BeginStream("Woken", "");
  const StreamWaker waker = waker_.get_future().get();
  listener_->Stop();
  auto drained = std::async(std::launch::async, [&] { server_.Drain(seconds(20)); });
  EXPECT_EQ(drained.wait_for(milliseconds(50)), std::future_status::timeout);
  *allowed_ = 3;
  waker.Wake();
  EXPECT_EQ(stream.get().messages.size(), 3u);
  drained.wait();
  EXPECT_EQ(server_.stats().connections_open, 0u);
}

TEST_F(ServerTest, DrainClosesWhatDoesNotEndInTime) {
  auto open = Begin("Never", "");
  EXPECT_EQ(Begin("Echo", "x").get().message, "x");
  listener_->Stop();
  server_.Drain(milliseconds(20));
  const CallResult answer = open.get();
  EXPECT_EQ(answer.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(answer.reached, Reached::kMaybe);
}

}  // namespace
}  // namespace mokv::rpc
