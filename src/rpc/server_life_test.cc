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

ServerOptions Retiring(Duration idle_max, Duration age_max) {
  ServerOptions options;
  options.connection_idle_max = idle_max;
  options.connection_age_max = age_max;
  // What else ends a connection that a test lets grow old.
  options.keepalive_idle = std::chrono::hours(10'000);
  return options;
}

class ServerIdleTest : public WatchedServerTest {
 protected:
  ServerIdleTest() : WatchedServerTest(Retiring(seconds(300), seconds(0))) {}
};

// Goal: a client that sends a call just then loses nothing.
TEST_F(ServerIdleTest, IdleConnectionsEndOnceTheirClientKnows) {
  RawClient client(port());
  EXPECT_EQ(client.Call(1, "/t.T/Echo", "x").grpc_status(), "0");
  Pass(seconds(1));
  Pass(seconds(299));
  EXPECT_EQ(stats().connections_retired, 0u);
  Pass(seconds(1));
  EXPECT_EQ(client.WaitForGoAways(1)[0].last_stream, uint32_t{0x7fffffff});
  EXPECT_EQ(client.Call(3, "/t.T/Echo", "late").data, Message("late"));
  client.Send(client.WaitForPing());
  const auto& goaways = client.WaitForGoAways(2);
  ASSERT_EQ(goaways.size(), 2u);
  EXPECT_EQ(goaways[1].last_stream, 3u);
  EXPECT_EQ(goaways[1].error, uint32_t{NGHTTP2_NO_ERROR});
  EXPECT_TRUE(client.socket().WaitForEnd());
  EXPECT_EQ(stats().connections_retired, 1u);
  EXPECT_EQ(stats().connections_broken, 0u);
}

TEST_F(ServerIdleTest, AConnectionWithACallIsNotIdle) {
  RawClient client(port());
  Begin(client, "/t.T/Never");
  for (int i = 0; i < 100; ++i) Pass(seconds(100));
  EXPECT_TRUE(IsOpen());
  EXPECT_EQ(stats().connections_retired, 0u);
}

class ServerAgeTest : public WatchedServerTest {
 protected:
  ServerAgeTest() : WatchedServerTest(Retiring(seconds(0), seconds(1'000))) {}
};

// Goal: neither silence nor a call without end keeps an old connection open.
TEST_F(ServerAgeTest, OldConnectionsEndHoweverBusy) {
  RawClient client(port());
  Begin(client, "/t.T/Never");
  Pass(seconds(899));
  EXPECT_EQ(stats().connections_retired, 0u);
  Pass(seconds(201));
  ASSERT_EQ(client.WaitForGoAways(1).size(), 1u);
  Pass(seconds(1));  // The PING was not answered.
  ASSERT_EQ(client.WaitForGoAways(2).size(), 2u);
  EXPECT_EQ(client.WaitForGoAways(2)[1].last_stream, 1u);
  Pass(seconds(59));
  EXPECT_TRUE(IsOpen());
  Pass(seconds(1));
  EXPECT_TRUE(client.socket().WaitForEnd());
  EXPECT_FALSE(IsOpen());
}

class ServerShortIdleTest : public RawServerTest {
 protected:
  ServerShortIdleTest()
      : RawServerTest(Retiring(std::chrono::milliseconds(100), std::chrono::hours(1))) {}
};

// Goal: the server looks often enough by itself.
TEST_F(ServerShortIdleTest, IdleConnectionsEndByThemselves) {
  RawClient client(port());
  ASSERT_EQ(client.WaitForGoAways(1).size(), 1u);
  client.Send(client.WaitForPing());
  EXPECT_EQ(client.WaitForGoAways(2).size(), 2u);
  EXPECT_TRUE(client.socket().WaitForEnd());
}

}  // namespace
}  // namespace mokv::rpc
