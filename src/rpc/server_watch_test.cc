// The watch over clients, on a clock and at moments that the test chooses.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include "rpc/testing/raw_http2.h"
#include "rpc/testing/watched_server.h"

namespace mokv::rpc {
namespace {

using std::chrono::seconds;

using ServerWatchTest = WatchedServerTest;

// Goal: a client that hangs keeps neither its connection nor its calls.
TEST_F(ServerWatchTest, ClosesConnectionsOfClientsThatDoNotAnswer) {
  RawClient client(port());
  Begin(client, "/t.T/Never");
  Pass(seconds(60));
  EXPECT_FALSE(client.WaitForPing().empty());
  Pass(seconds(19));
  EXPECT_TRUE(IsOpen());
  Pass(seconds(1));
  EXPECT_TRUE(client.socket().WaitForEnd());
  EXPECT_EQ(stats().calls_open, 0u);
  EXPECT_EQ(stats().connections_silent, 1u);
}

TEST_F(ServerWatchTest, ACallThatWaitsForItsHandlerMayWait) {
  RawClient client(port());
  Begin(client, "/t.T/Never");
  Pass(seconds(10'000));
  client.Send(client.WaitForPing());
  EXPECT_EQ(client.Call(3, "/t.T/Echo", "x").grpc_status(), "0");
  Pass(seconds(59));
  EXPECT_TRUE(IsOpen());
  EXPECT_EQ(stats().calls_open, 1u);
  EXPECT_EQ(stats().streams_stalled, 0u);
}

// Goal: a connection that has given back what it had for calls serves the next ones all the same, and
//       those that were under way.
TEST_F(ServerWatchTest, AConnectionAtRestServesAgain) {
  RawClient client(port());
  Begin(client, "/t.T/Never");
  for (int32_t stream = 3; stream < 20; stream += 2) {
    EXPECT_EQ(client.Call(stream, "/t.T/Echo", "x").grpc_status(), "0");
    Pass(seconds(2));
  }
  EXPECT_EQ(stats().calls_open, 1u);
}

// Goal:   a connection that has been busy costs, once it is at rest, little more than a new one.
// Method: several times as many calls as may be open, as many at once as may be; then nothing.
TEST_F(ServerWatchTest, AConnectionAtRestHasForgottenItsCalls) {
  // The tables of HPACK, and those that nghttp2 has made larger for many calls at once and cannot make
  // smaller again.
  constexpr size_t kBytesMax = size_t{48} << 10;
  constexpr uint32_t kCallsAtOnce = 1024;
  RawClient client(port());
  for (uint32_t round = 0; round < 3; ++round) {
    std::string calls;
    for (uint32_t i = 0; i < kCallsAtOnce; ++i) {
      const uint32_t stream = 2 * (round * kCallsAtOnce + i) + 1;
      calls += HeadersFrame(stream, GrpcHeaders("/t.T/Echo")) + DataFrame(stream, Message("x"));
    }
    client.Send(calls);
    EXPECT_EQ(client.Wait(2 * (round + 1) * kCallsAtOnce - 1).grpc_status(), "0");
  }
  Pass(seconds(2));
  EXPECT_LE(SessionBytes(), kBytesMax);
}

TEST_F(ServerWatchTest, EndsCallsWhoseRequestStandsStill) {
  RawClient client(port());
  Begin(client, "/t.T/Echo", Message("half").substr(0, 6), /*end=*/false);
  Pass(seconds(59));
  EXPECT_EQ(stats().streams_stalled, 0u);
  Pass(seconds(1));
  EXPECT_EQ(client.Wait(1).reset, std::optional<uint32_t>(NGHTTP2_CANCEL));
  EXPECT_EQ(stats().streams_stalled, 1u);
}

// Goal: a client that sends a byte now and then does not hold a call for ever.
TEST_F(ServerWatchTest, EndsCallsWhoseRequestComesOneByteAtATime) {
  RawClient client(port());
  Begin(client, "/t.T/Echo", Message(std::string(1'000, 'x')).substr(0, 6), /*end=*/false);
  for (int i = 0; i < 5; ++i) {
    Pass(seconds(10));
    client.SendData(1, "x", /*end=*/false);
    client.Send(Frame(NGHTTP2_PING, 0, 0, "question"));
    ASSERT_TRUE(client.WaitForPingAnswer()) << "what came before it has been looked at";
  }
  EXPECT_EQ(stats().streams_stalled, 0u);
  Pass(seconds(10));
  EXPECT_EQ(client.Wait(1).reset, std::optional<uint32_t>(NGHTTP2_CANCEL));
  EXPECT_EQ(stats().streams_stalled, 1u);
}

TEST_F(ServerWatchTest, KeepsCallsWhoseRequestComesSlowly) {
  RawClient client(port());
  const std::string message = Message(std::string(3 * kProgressBytes, 'x'));
  Begin(client, "/t.T/Echo", message.substr(0, kProgressBytes), /*end=*/false);
  for (size_t sent = kProgressBytes; sent < message.size(); sent += kProgressBytes) {
    Pass(seconds(59));
    const bool last = sent + kProgressBytes >= message.size();
    client.SendData(1, message.substr(sent, kProgressBytes), last);
    client.Send(Frame(NGHTTP2_PING, 0, 0, "question"));
    ASSERT_TRUE(client.WaitForPingAnswer());
  }
  EXPECT_EQ(stats().streams_stalled, 0u);
  client.Send(Frame(NGHTTP2_WINDOW_UPDATE, 0, 0, Number(1 << 20)) +
              Frame(NGHTTP2_WINDOW_UPDATE, 0, 1, Number(1 << 20)));
  EXPECT_EQ(client.Wait(1).grpc_status(), "0");
}

// Goal: the client of a stream may be silent between its messages for as long as it likes, but has
//       no longer for one of them than others.
TEST_F(ServerWatchTest, AStreamMayBeSilentBetweenItsMessagesOnly) {
  RawClient client(port());
  Begin(client, "/t.T/Count", Message("one"), /*end=*/false);
  for (size_t sent = 2; sent <= 5; ++sent) {
    Pass(seconds(50));
    Pass(seconds(50));
    client.SendData(1, Message("more"), /*end=*/false);
    ASSERT_TRUE(net::Until([&] { return messages() == sent; }));
  }
  EXPECT_EQ(stats().streams_stalled, 0u);
  Pass(seconds(50));
  Pass(seconds(50));
  client.SendData(1, Message("begun").substr(0, 6), /*end=*/false);
  for (int i = 0; i < 3; ++i) {
    client.Send(Frame(NGHTTP2_PING, 0, 0, "question"));
    ASSERT_TRUE(client.WaitForPingAnswer());
    EXPECT_EQ(stats().streams_stalled, 0u);
    Pass(seconds(20));
    client.SendData(1, "x", /*end=*/false);
  }
  EXPECT_EQ(client.Wait(1).reset, std::optional<uint32_t>(NGHTTP2_CANCEL));
  EXPECT_EQ(stats().streams_stalled, 1u);
}

// Goal: headers that never end hold neither a call nor the connection, on which nothing else may come.
TEST_F(ServerWatchTest, ClosesConnectionsWhoseHeadersDoNotEnd) {
  RawClient client(port());
  const std::string block = HeaderBlock(GrpcHeaders("/t.T/Echo"));
  client.Send(Frame(NGHTTP2_HEADERS, 0, 1, block));
  ASSERT_TRUE(net::Until([&] { return stats().calls_open == 1; }));
  Pass(seconds(30));
  client.Send(Frame(NGHTTP2_CONTINUATION, 0, 1, block).substr(0, 12));
  Pass(seconds(29));
  EXPECT_TRUE(IsOpen());
  Pass(seconds(1));
  const auto& goaways = client.WaitForGoAways(1);
  ASSERT_EQ(goaways.size(), 1u);
  EXPECT_EQ(goaways[0].error, uint32_t{NGHTTP2_ENHANCE_YOUR_CALM});
  EXPECT_TRUE(client.socket().WaitForEnd());
  EXPECT_EQ(stats().streams_stalled, 1u);
}

class ServerSlowReaderTest : public ServerWatchTest {
 protected:
  // Nothing is taken but what WindowUpdate allows.
  static std::string NoWindow() {
    return Frame(NGHTTP2_SETTINGS, 0, 0, std::string("\0\x04", 2) + Number(0));
  }
  static std::string WindowUpdate(uint32_t size) {
    return Frame(NGHTTP2_WINDOW_UPDATE, 0, 1, Number(size));
  }
};

// Goal: a client that takes a byte now and then does not hold an answer for ever.
TEST_F(ServerSlowReaderTest, EndsCallsWhoseClientTakesOneByteAtATime) {
  RawClient client(port());
  client.Send(NoWindow());
  Begin(client, "/t.T/Large");
  for (size_t taken = 1; taken <= 5; ++taken) {
    Pass(seconds(10));
    client.Send(WindowUpdate(1));
    EXPECT_EQ(client.WaitForData(1, taken).data.size(), taken);
  }
  EXPECT_EQ(stats().streams_stalled, 0u);
  Pass(seconds(10));
  EXPECT_EQ(stats().streams_stalled, 1u);
  EXPECT_EQ(client.Wait(1).reset, std::optional<uint32_t>(NGHTTP2_CANCEL));
}

// Goal: that a stream's source has nothing more is no reason to leave what it gave, and to hold it for ever.
TEST_F(ServerSlowReaderTest, EndsStreamsWhoseLastMessageIsLeft) {
  RawClient client(port());
  client.Send(NoWindow());
  Begin(client, "/t.T/One");
  client.Send(WindowUpdate(1));
  EXPECT_EQ(client.WaitForData(1, 1).data.size(), size_t{1});
  Pass(seconds(61));
  EXPECT_EQ(stats().streams_stalled, 1u);
  EXPECT_EQ(client.Wait(1).reset, std::optional<uint32_t>(NGHTTP2_CANCEL));
}

TEST_F(ServerSlowReaderTest, KeepsStreamsWhoseMessagesHaveBeenTaken) {
  RawClient client(port());
  client.Send(Frame(NGHTTP2_WINDOW_UPDATE, 0, 0, Number(1 << 20)) + NoWindow());
  Begin(client, "/t.T/One");
  client.Send(WindowUpdate(1 << 20));
  EXPECT_EQ(client.WaitForData(1, OneMessage::kBytes + 5).data.size(), OneMessage::kBytes + 5);
  Pass(seconds(61));
  EXPECT_EQ(stats().streams_stalled, 0u);
  EXPECT_EQ(stats().calls_open, 1u);
}

TEST_F(ServerSlowReaderTest, KeepsCallsWhoseClientReadsSlowly) {
  RawClient client(port());
  client.Send(NoWindow());
  Begin(client, "/t.T/Large");
  for (size_t taken = kProgressBytes; taken <= 3 * kProgressBytes; taken += kProgressBytes) {
    Pass(seconds(59));
    client.Send(WindowUpdate(uint32_t{kProgressBytes}));
    EXPECT_EQ(client.WaitForData(1, taken).data.size(), taken);
  }
  EXPECT_EQ(stats().streams_stalled, 0u);
  EXPECT_EQ(stats().calls_open, 1u);
}

}  // namespace
}  // namespace mokv::rpc
