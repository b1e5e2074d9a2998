// How connections end that are silent, noisy, idle or old, on a clock that the test moves.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include "rpc/testing/raw_http2.h"
#include "rpc/testing/watched_server.h"

namespace mokv::rpc {
namespace {

using net::Until;
using std::chrono::seconds;

std::string Ping() { return Frame(NGHTTP2_PING, 0, 0, "question"); }

using ServerPingTest = WatchedServerTest;

// Goal: what gRPC's clients know to make of it: they ask less often from then on.
TEST_F(ServerPingTest, TooManyPingsEndTheConnection) {
  RawClient client(port());
  Begin(client, "/t.T/Never");
  for (int i = 0; i < 4; ++i) client.Send(Ping());
  const auto& goaways = client.WaitForGoAways(1);
  ASSERT_EQ(goaways.size(), 1u);
  EXPECT_EQ(goaways[0].error, uint32_t{NGHTTP2_ENHANCE_YOUR_CALM});
  EXPECT_EQ(goaways[0].debug, "too_many_pings");
  EXPECT_EQ(goaways[0].last_stream, 1u) << "that call has begun";
  EXPECT_TRUE(client.socket().WaitForEnd());
  EXPECT_TRUE(Until([&] { return stats().calls_open == 0; }));
  EXPECT_EQ(stats().connections_broken, 1u);
}

// Goal: a client that asks every ten seconds, the shortest that gRPC's allow, is never sent away, not
//       even when nothing else happens for hours.
TEST_F(ServerPingTest, AskingEveryTenSecondsIsFine) {
  RawClient client(port());
  Begin(client, "/t.T/Never");
  for (int i = 0; i < 1'000; ++i) {
    Pass(seconds(10));
    client.Send(Ping());
    ASSERT_TRUE(client.WaitForPingAnswer()) << i;
  }
  EXPECT_TRUE(IsOpen());
}

TEST_F(ServerPingTest, AnswersAllowMorePings) {
  RawClient client(port());
  for (uint32_t stream = 1; stream < 200; stream += 2) {
    client.Send(Ping() + Ping() + Ping());
    ASSERT_EQ(client.Call(stream, "/t.T/Echo", "x").grpc_status(), "0") << stream;
  }
}

}  // namespace
}  // namespace mokv::rpc
