// The server beside clients that call and do not take their answers.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <memory>
#include <string>

#include "net/testing/wait.h"
#include "rpc/testing/raw_http2.h"
#include "rpc/testing/raw_server.h"

namespace mokv::rpc {
namespace {

constexpr size_t kLargeBytes = 100'000;
constexpr size_t kAnswersMax = 5;  // That fit into the limit.
constexpr uint16_t kInitialWindow = 4;
constexpr size_t kMessagesOfStream = 3;

// Says some large messages.
class Large final : public MessageSource {
 public:
  Next Produce(std::string* message) override {
    if (left_-- == 0) return Next::kEnd;
    message->append(kLargeBytes, 'x');
    return Next::kMessage;
  }

 private:
  size_t left_ = kMessagesOfStream;
};

class ServerAnswerBudgetTest : public RawServerTest {
 protected:
  ServerAnswerBudgetTest()
      : RawServerTest(ServerOptions{.answer_bytes_max = kAnswersMax * (kLargeBytes + 10)},
                      [](Server& server) {
                        server.AddUnary("/t.T/Much", [](UnaryCall& call) {
                          call.response().append(kLargeBytes, 'x');
                          call.Finish();
                        });
                        server.AddServerStream("/t.T/Stream", [](ServerStreamCall& call) {
                          call.Start(std::make_unique<Large>());
                        });
                      }) {
    // A window of 0 for each answer.
    client_.Send(Frame(NGHTTP2_SETTINGS, 0, 0, std::string({'\0', kInitialWindow}) + Number(0)));
    Open(0);
  }

  void Begin(uint32_t stream, const std::string& path) {
    client_.SendHeaders(stream, GrpcHeaders(path));
    client_.SendData(stream, Message("x"));
  }
  void Open(uint32_t stream) {
    client_.Send(Frame(NGHTTP2_WINDOW_UPDATE, 0, stream, Number(1 << 30)));
  }
  // The server has looked at everything before.
  void Settle() {
    client_.Send(Frame(NGHTTP2_PING, 0, 0, "question"));
    ASSERT_TRUE(client_.WaitForPingAnswer());
  }
  uint64_t refused() const { return server_.stats().answers_refused; }

  RawClient client_{port()};
};

// Goal: what a client does not take is bounded for all of its calls together, it hears so, and what it
//       takes in the end is whole.
TEST_F(ServerAnswerBudgetTest, RefusesLargeAnswersOverTheLimit) {
  const uint32_t end = 2 * kAnswersMax + 21;
  for (uint32_t stream = 1; stream < end; stream += 2) Begin(stream, "/t.T/Much");
  Settle();
  EXPECT_EQ(refused(), 10u);
  for (uint32_t stream = 1; stream < end; stream += 2) {
    if (stream > 2 * kAnswersMax) {
      EXPECT_EQ(client_.answer(stream).grpc_status(), "8") << stream;
    } else {
      Open(stream);
      EXPECT_EQ(client_.Wait(stream).data, Message(std::string(kLargeBytes, 'x'))) << stream;
    }
  }
  Begin(end, "/t.T/Much");
  Open(end);
  EXPECT_EQ(client_.Wait(end).grpc_status(), "0") << "there is room again";
}

TEST_F(ServerAnswerBudgetTest, SmallAnswersPassBesideIt) {
  for (uint32_t stream = 1; stream <= 2 * kAnswersMax + 1; stream += 2) Begin(stream, "/t.T/Much");
  Begin(99, "/t.T/Echo");
  Open(99);
  EXPECT_EQ(client_.Wait(99).grpc_status(), "0");
}

// Goal: a call that is given up makes room.
TEST_F(ServerAnswerBudgetTest, ACancelledCallMakesRoom) {
  for (uint32_t stream = 1; stream < 2 * kAnswersMax; stream += 2) Begin(stream, "/t.T/Much");
  client_.SendReset(1);
  Begin(21, "/t.T/Much");
  Begin(23, "/t.T/Much");
  Settle();
  EXPECT_EQ(refused(), 1u);
  Open(21);
  EXPECT_EQ(client_.Wait(21).grpc_status(), "0");
}

TEST_F(ServerAnswerBudgetTest, OneAnswerMayHaveAnySize) {
  Begin(1, "/t.T/Large");
  Open(1);
  EXPECT_EQ(client_.Wait(1).grpc_status(), "0");
  EXPECT_EQ(refused(), 0u);
}

// Goal: streams wait while there is no room, and lose nothing.
TEST_F(ServerAnswerBudgetTest, StreamsWaitUntilOtherAnswersHaveLeft) {
  Begin(1, "/t.T/Large");  // All of the limit.
  Begin(3, "/t.T/Stream");
  Begin(5, "/t.T/Stream");
  Open(3);
  Open(5);
  Settle();
  EXPECT_EQ(client_.answer(3).data, "");
  EXPECT_EQ(client_.answer(5).data, "");
  client_.SendReset(5);
  Open(1);
  const RawAnswer answer = client_.Wait(3);
  EXPECT_EQ(answer.grpc_status(), "0");
  EXPECT_EQ(answer.data.size(), kMessagesOfStream * (kLargeBytes + 5));
  EXPECT_EQ(client_.Wait(1).grpc_status(), "0");
}

}  // namespace
}  // namespace mokv::rpc
