#include "rpc/server_receiver.h"

#include <gtest/gtest.h>

#include <string>

#include "base/status.h"
#include "rpc/grpc_wire.h"
#include "rpc/method.h"
#include "rpc/testing/raw_http2.h"

namespace mokv::rpc {
namespace {

using Next = ServerReceiver::Next;
using std::chrono::seconds;

constexpr MonotonicTime At(int64_t s) { return MonotonicTime{seconds(s)}; }

class Nobody final : public CompletionSink {
 public:
  void Complete(Completion) override {}
};

class ServerReceiverTest : public testing::Test {
 protected:
  ServerReceiverTest() {
    options_.message_bytes_max = 100;
    options_.assembly_bytes_max = 150;
  }

  // A call of a known method whose headers have come at second 0.
  void Begin(ServerCall& call) {
    call.head.method = &method_;
    call.head.is_post = true;
    call.head.is_grpc = true;
    EXPECT_EQ(receiver_.OnHead(call), Next::kWait);
  }
  Next Receive(ServerCall& call, std::string_view bytes) {
    if (const Next next = receiver_.OnData(call, bytes, At(1)); next != Next::kWait) return next;
    return receiver_.OnEnd(call, At(2));
  }

  Nobody nobody_;
  const std::string subject_ = "someone";
  std::vector<int32_t> sinks_to_ask_;
  AnswerBudget answers_{UINT64_MAX};
  const CallOrigin origin_{SystemClock(), nobody_,       1,        0,         subject_,
                           subject_,      sinks_to_ask_, answers_, UINT32_MAX};
  Method method_;
  ServerOptions options_;
  ServerReceiver receiver_{options_};
  ServerCall call_{origin_};
};

TEST_F(ServerReceiverTest, HandlesAWholeMessageOnceItHasEnded) {
  Begin(call_);
  const std::string message = Message("hello");
  for (const char byte : message) {
    EXPECT_EQ(receiver_.OnData(call_, std::string(1, byte), At(1)), Next::kWait);
  }
  EXPECT_EQ(call_.request_progress, At(1));
  EXPECT_EQ(receiver_.OnEnd(call_, At(2)), Next::kHandle);
  EXPECT_EQ(call_.request, message);
  EXPECT_EQ(call_.request_bytes, 5u);
}

TEST_F(ServerReceiverTest, RefusesWhatIsNotOneMessage) {
  const auto code = [&](std::string_view bytes) {
    ServerCall call(origin_);
    Begin(call);
    EXPECT_EQ(Receive(call, bytes), Next::kRefuse);
    return call.status.code();
  };
  EXPECT_EQ(code(""), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(code(Message("a") + Message("b")), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(code(Message("a", /*compressed=*/true)), absl::StatusCode::kInternal);
  EXPECT_EQ(code(Message("cut off").substr(0, 4)), absl::StatusCode::kInternal);
  EXPECT_EQ(code(Message("cut off").substr(0, 8)), absl::StatusCode::kInternal);
}

// Goal: a message over the limit is refused by its prefix, before it has come.
TEST_F(ServerReceiverTest, RefusesAMessageOverTheLimitAtOnce) {
  Begin(call_);
  EXPECT_EQ(receiver_.OnData(call_, Message(std::string(101, 'x')).substr(0, 5), At(1)),
            Next::kRefuse);
  EXPECT_EQ(call_.status.code(), absl::StatusCode::kResourceExhausted);
}

// Goal: a refused call costs nothing more, whatever else its client sends.
TEST_F(ServerReceiverTest, KeepsNothingOfACallThatHasItsAnswer) {
  Begin(call_);
  call_.state = ServerCall::State::kAnswering;
  EXPECT_EQ(Receive(call_, std::string(1'000, 'x')), Next::kWait);
  EXPECT_EQ(call_.request, "");
}

TEST_F(ServerReceiverTest, BoundsAllRequestsInAssemblyTogether) {
  ServerCall first(origin_);
  ServerCall second(origin_);
  const std::string begun = Message(std::string(100, 'x')).substr(0, 80);
  Begin(first);
  Begin(second);
  EXPECT_EQ(receiver_.OnData(first, begun, At(1)), Next::kWait);
  EXPECT_EQ(receiver_.OnData(second, begun, At(1)), Next::kRefuse);
  EXPECT_EQ(second.status.code(), absl::StatusCode::kResourceExhausted);
  // Those that are closed, or have ended, count no more.
  receiver_.OnClose(second);
  EXPECT_EQ(Receive(first, Message(std::string(100, 'x')).substr(80)), Next::kHandle);
  receiver_.OnClose(first);
  Begin(call_);
  EXPECT_EQ(Receive(call_, Message(std::string(100, 'x'))), Next::kHandle);
}

TEST_F(ServerReceiverTest, RefusesACallThatIsTooLate) {
  call_.head.timeout = seconds(2);
  Begin(call_);
  EXPECT_EQ(call_.deadline, At(2));
  EXPECT_EQ(Receive(call_, Message("")), Next::kRefuse);
  EXPECT_EQ(call_.status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ServerReceiverTest, AnswersInHttpOnlyWhenTheRequestHasEnded) {
  call_.head.is_post = true;
  EXPECT_EQ(receiver_.OnHead(call_), Next::kWait);
  EXPECT_EQ(receiver_.OnData(call_, "a web page's form", At(1)), Next::kWait);
  EXPECT_EQ(receiver_.OnEnd(call_, At(1)), Next::kRefuse);
  EXPECT_EQ(call_.http_status, "415");
  EXPECT_EQ(call_.request, "");
}

TEST_F(ServerReceiverTest, RefusesAnUnknownMethodAtOnce) {
  call_.head.is_post = true;
  call_.head.is_grpc = true;
  call_.head.path = "/t.T/Nothing";
  EXPECT_EQ(receiver_.OnHead(call_), Next::kRefuse);
  EXPECT_EQ(call_.status.code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace mokv::rpc
