// The server against clients written by hand: what breaks gRPC's or HTTP/2's rules gets the answer
// that the rules have for it, and costs the server a bounded amount.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <future>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "net/testing/wait.h"
#include "rpc/grpc_wire.h"
#include "rpc/testing/raw_http2.h"
#include "rpc/testing/raw_server.h"

namespace mokv::rpc {
namespace {

using net::Until;
using std::chrono::milliseconds;

using ServerRawTest = RawServerTest;

TEST_F(ServerRawTest, ServesAClientThatObeys) {
  RawClient client(port());
  const RawAnswer answer = client.Call(1, "/t.T/Echo", "hello");
  EXPECT_EQ(answer.grpc_status(), "0");
  EXPECT_EQ(answer.data, Message("hello"));
}

TEST_F(ServerRawTest, AnswersWhatIsNotGrpcInHttp) {
  RawClient client(port());
  Headers get = GrpcHeaders("/t.T/Echo");
  get[0].second = "GET";
  client.SendHeaders(1, get, true);
  const RawAnswer refused = client.Wait(1);
  EXPECT_EQ(refused.headers.at(":status"), "405");
  EXPECT_EQ(refused.headers.at("allow"), "POST");
  EXPECT_EQ(refused.data, "not a POST\n");
  get[0].second = "HEAD";
  client.SendHeaders(3, get, true);
  const RawAnswer head = client.Wait(3);
  EXPECT_EQ(head.headers.at(":status"), "405");
  EXPECT_EQ(head.data, "") << "RFC 9110, 9.3.2";
  for (const char* type : {"text/html", "application/grpc-web"}) {
    Headers other = GrpcHeaders("/t.T/Echo");
    other[5].second = type;
    const uint32_t stream = *type == 't' ? 5 : 7;
    client.SendHeaders(stream, other, true);
    EXPECT_EQ(client.Wait(stream).headers[":status"], "415") << type;
  }
  Headers with_codec = GrpcHeaders("/t.T/Echo");
  with_codec[5].second = "application/grpc+proto";
  client.SendHeaders(9, with_codec);
  client.SendData(9, Message("x"));
  EXPECT_EQ(client.Wait(9).grpc_status(), "0");
}

TEST_F(ServerRawTest, AnswersBrokenRequestsAndGoesOn) {
  RawClient client(port());
  EXPECT_EQ(client.Call(1, "/t.T/Nothing", "").grpc_status(), "12");

  client.SendHeaders(3, GrpcHeaders("/t.T/Echo"));
  client.SendData(3, Message("packed", /*compressed=*/true));
  EXPECT_EQ(client.Wait(3).grpc_status(), "13");

  client.SendHeaders(7, GrpcHeaders("/t.T/Echo"));
  client.SendData(7, Message("one") + Message("two"));
  EXPECT_EQ(client.Wait(7).grpc_status(), "12");

  client.SendHeaders(9, GrpcHeaders("/t.T/Echo"));
  client.SendData(9, Message("cut off").substr(0, 8));
  EXPECT_EQ(client.Wait(9).grpc_status(), "13");

  Headers bad_timeout = GrpcHeaders("/t.T/Echo");
  bad_timeout.emplace_back("grpc-timeout", "soon");
  client.SendHeaders(11, bad_timeout, true);
  EXPECT_EQ(client.Wait(11).grpc_status(), "13");

  // The end of the request may come as trailers.
  client.SendHeaders(13, GrpcHeaders("/t.T/Echo"));
  client.SendData(13, Message("x"), /*end=*/false);
  client.SendHeaders(13, {{"checksum", "1"}}, true);
  EXPECT_EQ(client.Wait(13).grpc_status(), "0");
  EXPECT_EQ(server_.stats().connections_broken, 0u);
}

// Goal: a client that ends its request without a message waits for no answer in vain.
TEST_F(ServerRawTest, AnswersRequestsWithoutAMessage) {
  RawClient client(port());
  uint32_t stream = 1;
  for (const char* path : {"/t.T/Echo", "/t.T/Never", "/t.T/Silent"}) {
    client.SendHeaders(stream, GrpcHeaders(path), /*end=*/true);
    EXPECT_EQ(client.Wait(stream).grpc_status(), "12") << path;
    stream += 2;
    client.SendHeaders(stream, GrpcHeaders(path));
    client.SendData(stream, "");
    EXPECT_EQ(client.Wait(stream).grpc_status(), "12") << path;
    stream += 2;
  }
}

TEST_F(ServerRawTest, AnswersBeforeTheUploadIsOver) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Echo"));
  std::string prefix(kMessagePrefixBytes, '\0');
  WriteMessagePrefix(2 << 20, prefix.data());
  client.SendData(1, prefix, /*end=*/false);
  EXPECT_EQ(client.Wait(1).grpc_status(), "8");
  EXPECT_EQ(client.Call(3, "/t.T/Echo", "x").grpc_status(), "0");
  EXPECT_TRUE(Until([&] { return server_.stats().calls_open == 0; }));
}

TEST_F(ServerRawTest, RefusesHeadersOverTheLimitWhateverTheirOrder) {
  RawClient client(port());
  Headers many = GrpcHeaders("/t.T/Echo");
  Headers small;
  for (int i = 0; i < 400; ++i) small.emplace_back(fmt::format("h{}", i), "value of it");
  many.insert(many.begin() + 4, small.begin(), small.end());  // Before content-type.
  const std::string block = HeaderBlock(many);
  client.Send(Frame(NGHTTP2_HEADERS, 0, 1, block.substr(0, 4000)));
  client.Send(Frame(NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, block.substr(4000)));
  EXPECT_EQ(client.Wait(1).grpc_status(), "8");
  EXPECT_EQ(client.Call(3, "/t.T/Echo", "x").grpc_status(), "0");
}

TEST_F(ServerRawTest, CutsLongStatusMessages) {
  RawClient client(port());
  const RawAnswer answer = client.Call(1, "/t.T/Fails", "");
  EXPECT_EQ(answer.grpc_status(), "5");
  EXPECT_LT(answer.headers.at("grpc-message").size(), size_t{5} << 10);
}

// Goal: what a handler gave for the case that nobody answers in time stands beside the status, in
//       the one block of headers that such an answer is.
TEST_F(ServerRawTest, ADeadlineSaysWhatItsHandlerGave) {
  RawClient client(port());
  Headers headers = GrpcHeaders("/t.T/Never");
  headers.emplace_back("grpc-timeout", "20m");
  client.Send(HeadersFrame(1, headers) + DataFrame(1, Message("")));
  const RawAnswer answer = client.Wait(1);
  EXPECT_EQ(answer.headers.at(":status"), "200");
  EXPECT_EQ(answer.grpc_status(), "4");
  EXPECT_EQ(answer.headers.at("grpc-message"), "nobody was in time");
  EXPECT_EQ(answer.headers.at("fate"), "unknown");
  EXPECT_EQ(answer.data, "");
}

TEST_F(ServerRawTest, StreamThatBeganAtOnceHasADeadline) {
  RawClient client(port());
  Headers headers = GrpcHeaders("/t.T/Silent");
  headers.emplace_back("grpc-timeout", "100m");
  // At once: the call does not begin without its message.
  client.Send(HeadersFrame(1, headers) + DataFrame(1, Message("")));
  EXPECT_EQ(client.Wait(1).grpc_status(), "4");
}

TEST_F(ServerRawTest, CountsConnectionsThatBreakTheRules) {
  RawClient client(port());
  client.SendData(1, "data of a stream that was never opened");
  const auto& goaways = client.WaitForGoAways(1);
  ASSERT_EQ(goaways.size(), 1u);
  EXPECT_EQ(goaways[0].error, uint32_t{NGHTTP2_PROTOCOL_ERROR});
  EXPECT_TRUE(client.socket().WaitForEnd());
  EXPECT_EQ(server_.stats().connections_broken, 1u);
}

// Goal:   a client whose deadlines all pass together must not lose its connection, and with it
//         every other call, for having said so.
TEST_F(ServerRawTest, ManyCancelledCallsAreNoFlood) {
  RawClient client(port());
  uint32_t stream = 1;
  for (int i = 0; i < 5'000; ++i, stream += 2) {
    ASSERT_TRUE(client.SendHeaders(stream, GrpcHeaders("/t.T/Never")));
    ASSERT_TRUE(client.SendReset(stream));
  }
  EXPECT_EQ(client.Call(stream, "/t.T/Echo", "x").grpc_status(), "0");
}

class ServerKeepaliveTest : public ServerRawTest {
 protected:
  ServerKeepaliveTest() : ServerRawTest(Asking()) {}

  static ServerOptions Asking() {
    ServerOptions options = Limits();
    options.keepalive_idle = milliseconds(50);
    return options;
  }
};

TEST_F(ServerKeepaliveTest, AsksAgainForAsLongAsTheClientAnswers) {
  RawClient client(port());
  for (int i = 0; i < 5; ++i) {
    const std::string answer = client.WaitForPing();
    ASSERT_FALSE(answer.empty());
    client.Send(answer);
  }
  EXPECT_EQ(client.Call(1, "/t.T/Echo", "").grpc_status(), "0");
  EXPECT_EQ(server_.stats().connections_silent, 0u);
}

class ServerStallTest : public ServerRawTest {
 protected:
  ServerStallTest() : ServerRawTest(ShortStall()) {}

  static ServerOptions ShortStall() {
    ServerOptions options = Limits();
    options.stall_timeout = milliseconds(500);
    return options;
  }
};

// Goal:   a client that asks and never reads is let go, with all that it holds.
// Method: answers larger than what the sockets buffer.
TEST_F(ServerStallTest, EndsConnectionsThatDoNotRead) {
  RawClient client(port());
  // Windows so large that only the socket holds the answers back.
  client.Send(Frame(NGHTTP2_SETTINGS, 0, 0, std::string("\0\x04", 2) + Number(0x7fffffff)));
  client.Send(Frame(NGHTTP2_WINDOW_UPDATE, 0, 0, Number(0x7fff0000)));
  for (uint32_t stream = 1; stream < 20; stream += 2) {
    client.SendHeaders(stream, GrpcHeaders("/t.T/Large"));
    client.SendData(stream, Message(""));
  }
  EXPECT_TRUE(Until([&] { return server_.stats().connections_total == 1; }));
  EXPECT_TRUE(Until([&] { return server_.stats().connections_open == 0; }));
  EXPECT_EQ(server_.stats().calls_open, 0u);
  EXPECT_GT(server_.stats().streams_stalled, 0u);
}

// Goal:   frames that the server owes a client which does not read are bounded.
// Method: calls far over the limit, which is never acknowledged: each is owed a reset.
TEST_F(ServerRawTest, EndsAFloodOfCallsWhoseResetsNobodyReads) {
  RawClient client(port());
  const std::string block = HeaderBlock(GrpcHeaders("/t.T/Never"));
  std::string batch;
  bool open = true;
  for (uint32_t stream = 1; open && stream < 4'000'000; stream += 2) {
    batch += Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, block);
    if (batch.size() < (size_t{256} << 10)) continue;
    open = client.Send(batch);
    batch.clear();
  }
  EXPECT_FALSE(open) << "the server took everything";
  EXPECT_TRUE(Until([&] { return server_.stats().connections_open == 0; }));
}

// What was looked at, by reloads without end.
struct Looked {
  std::set<const net::Transport*> connections;
  size_t looks = 0;
  std::promise<size_t> distinct;  // Once `looks` has come to kLooks.
};
constexpr size_t kLooks = 40;

void Reload(Server& server, const std::shared_ptr<Looked>& looked) {
  server.CloseDistrusted([&server, looked](const net::Transport& transport) {
    looked->connections.insert(&transport);
    if (++looked->looks < kLooks) Reload(server, looked);
    if (looked->looks == kLooks) looked->distinct.set_value(looked->connections.size());
    return absl::OkStatus();
  });
}

// Goal:   reloads that come faster than all connections can be looked at pass none of them over.
// Method: with each look at one the next reload is on its way, ahead of the next turn.
TEST_F(ServerRawTest, LooksAtEveryConnectionHoweverOftenItReloads) {
  std::vector<std::unique_ptr<RawClient>> clients;
  for (size_t i = 0; i < kLooks; ++i) {
    clients.push_back(std::make_unique<RawClient>(port()));
    ASSERT_EQ(clients.back()->Call(1, "/t.T/Echo", "").grpc_status(), "0");
  }
  const auto looked = std::make_shared<Looked>();
  Reload(server_, looked);
  EXPECT_EQ(looked->distinct.get_future().get(), clients.size());
}

}  // namespace
}  // namespace mokv::rpc
