// A server that goes away, against clients written by hand: calls that race with the news are
// either served or certainly not begun.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <future>

#include "net/testing/wait.h"
#include "rpc/testing/raw_http2.h"
#include "rpc/testing/raw_server.h"

namespace mokv::rpc {
namespace {

using net::Until;
using std::chrono::milliseconds;
using std::chrono::seconds;

class ServerDrainTest : public RawServerTest {
 protected:
  explicit ServerDrainTest(Duration goaway_notice = seconds(20))
      : RawServerTest(WithNotice(goaway_notice)) {}

  static ServerOptions WithNotice(Duration goaway_notice) {
    ServerOptions options = Limits();
    options.goaway_notice = goaway_notice;
    return options;
  }

  // A client that has one call open, and a drain under way that it does not know of yet.
  void BeginDrain(RawClient& client, Duration grace = seconds(20)) {
    client.SendHeaders(1, GrpcHeaders("/t.T/Never"));
    client.SendData(1, Message(""));
    ASSERT_TRUE(Until([&] { return kept() == 1; }));
    listener_->Stop();
    drained_ = std::async(std::launch::async, [this, grace] { server_.Drain(grace); });
  }

  std::future<void> drained_;
};

// Goal:   a call that a client sends before it can know of the drain is served.
// Method: the first GOAWAY refuses nothing; the second comes with the answer to the PING behind it.
TEST_F(ServerDrainTest, ServesCallsThatRaceWithTheGoaway) {
  RawClient client(port());
  BeginDrain(client);
  ASSERT_EQ(client.WaitForGoAways(1).size(), 1u);
  EXPECT_EQ(client.WaitForGoAways(1)[0].last_stream, uint32_t{0x7fffffff});
  EXPECT_EQ(client.Call(3, "/t.T/Echo", "late").data, Message("late"));
  client.Send(client.WaitForPing());
  const auto& goaways = client.WaitForGoAways(2);
  ASSERT_EQ(goaways.size(), 2u);
  EXPECT_EQ(goaways[1].last_stream, 3u);
  AnswerKept();
  EXPECT_EQ(client.Wait(1).grpc_status(), "0");
  EXPECT_TRUE(client.socket().WaitForEnd());
  drained_.wait();
}

// Goal:   what a client is told was not looked at (GOAWAY's last stream) must not be carried out.
// Method: the answer to the PING and the next call come in one piece, so that the call is there
//         before the GOAWAY that refuses it has left.
TEST_F(ServerDrainTest, NothingIsBegunOnceGoawayIsOnItsWay) {
  RawClient client(port());
  BeginDrain(client);
  const std::string answer = client.WaitForPing();
  ASSERT_FALSE(answer.empty());
  client.Send(answer + HeadersFrame(3, GrpcHeaders("/t.T/Never")) + DataFrame(3, Message("")));
  const auto& goaways = client.WaitForGoAways(2);
  ASSERT_EQ(goaways.size(), 2u);
  EXPECT_EQ(goaways[1].last_stream, 1u);
  EXPECT_EQ(kept(), 1u) << "the second call was begun";
  AnswerKept();
  EXPECT_EQ(client.Wait(1).grpc_status(), "0");
  drained_.wait();
}

class ServerShortNoticeTest : public ServerDrainTest {
 protected:
  ServerShortNoticeTest() : ServerDrainTest(milliseconds(100)) {}
};

// Goal: a client that never answers the PING does not hold up the drain.
TEST_F(ServerShortNoticeTest, GoesAwayWithoutAnAnswerToThePing) {
  RawClient client(port());
  BeginDrain(client);
  const auto& goaways = client.WaitForGoAways(2);
  ASSERT_EQ(goaways.size(), 2u);
  EXPECT_EQ(goaways[1].last_stream, 1u);
  AnswerKept();
  EXPECT_EQ(client.Wait(1).grpc_status(), "0");
  drained_.wait();
}

TEST_F(ServerDrainTest, ClosesIdleConnectionsAfterOneRoundTrip) {
  RawClient client(port());
  EXPECT_EQ(client.Call(1, "/t.T/Echo", "").grpc_status(), "0");
  listener_->Stop();
  drained_ = std::async(std::launch::async, [this] { server_.Drain(seconds(20)); });
  client.Send(client.WaitForPing());
  EXPECT_EQ(client.WaitForGoAways(2).size(), 2u);
  EXPECT_TRUE(client.socket().WaitForEnd());
  drained_.wait();
}

}  // namespace
}  // namespace mokv::rpc
