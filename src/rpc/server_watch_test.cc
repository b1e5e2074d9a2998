// The watch over clients, on a clock and at moments that the test chooses.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include "rpc/testing/raw_http2.h"
#include "rpc/testing/watched_server.h"

namespace mokv::rpc {
namespace {

using std::chrono::seconds;

// How much of an answer counts as reading it.
constexpr uint32_t kProgressBytes = 16 << 10;

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

TEST_F(ServerWatchTest, EndsCallsWhoseRequestStandsStill) {
  RawClient client(port());
  Begin(client, "/t.T/Echo", Message("half").substr(0, 6), /*end=*/false);
  Pass(seconds(59));
  EXPECT_EQ(stats().streams_stalled, 0u);
  Pass(seconds(1));
  EXPECT_EQ(client.Wait(1).reset, std::optional<uint32_t>(NGHTTP2_CANCEL));
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

TEST_F(ServerSlowReaderTest, KeepsCallsWhoseClientReadsSlowly) {
  RawClient client(port());
  client.Send(NoWindow());
  Begin(client, "/t.T/Large");
  for (size_t taken = kProgressBytes; taken <= 3 * kProgressBytes; taken += kProgressBytes) {
    Pass(seconds(59));
    client.Send(WindowUpdate(kProgressBytes));
    EXPECT_EQ(client.WaitForData(1, taken).data.size(), taken);
  }
  EXPECT_EQ(stats().streams_stalled, 0u);
  EXPECT_EQ(stats().calls_open, 1u);
}

}  // namespace
}  // namespace mokv::rpc
