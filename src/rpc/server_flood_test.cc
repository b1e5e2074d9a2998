// The server against clients that send what costs it much and them little, or what the state of a
// stream does not allow.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include "rpc/testing/raw_http2.h"
#include "rpc/testing/raw_server.h"

namespace mokv::rpc {
namespace {

class ServerFloodTest : public RawServerTest {
 protected:
  ServerFloodTest() : RawServerTest(ServerOptions()) {}

  void ExpectEnd(RawClient& client, uint32_t error) {
    const auto& goaways = client.WaitForGoAways(1);
    ASSERT_EQ(goaways.size(), 1u);
    EXPECT_EQ(goaways[0].error, error);
    EXPECT_TRUE(client.socket().WaitForEnd());
    // Others are served as before.
    RawClient other(port());
    EXPECT_EQ(other.Call(1, "/t.T/Echo", "x").grpc_status(), "0");
    EXPECT_EQ(server_.stats().connections_broken, 1u);
  }
};

// HPACK (RFC 7541, 6.2.1 and 6.1): a header of 4,033 bytes as it counts, which goes into the table,
// and then the same again, a byte each.
std::string NewLargeHeader() { return "\x40\x01x\x7f\xa1\x1e" + std::string(4'000, 'v'); }
std::string SameAgain(size_t times) { return std::string(times, '\xbe'); }

bool SendHead(RawClient& client, uint32_t stream, const std::string& more) {
  const std::string block = HeaderBlock(GrpcHeaders("/t.T/Echo")) + more;
  return client.Send(
      Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, stream, block));
}

TEST_F(ServerFloodTest, AHeaderThatIsNamedThousandsOfTimesEndsTheConnection) {
  RawClient client(port());
  ASSERT_TRUE(SendHead(client, 1, NewLargeHeader() + SameAgain(4'000)));
  ExpectEnd(client, NGHTTP2_ENHANCE_YOUR_CALM);
}

// Goal: trailers, which nobody reads, cost no more than headers do.
TEST_F(ServerFloodTest, TrailersThatNameOneHeaderThousandsOfTimesEndTheConnection) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Echo"));
  client.Send(Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
                    NewLargeHeader() + SameAgain(4'000)));
  ExpectEnd(client, NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST_F(ServerFloodTest, ShortTrailersAreNoFlood) {
  RawClient client(port());
  for (uint32_t stream = 1; stream < 60; stream += 2) {
    client.SendHeaders(stream, GrpcHeaders("/t.T/Echo"));
    client.SendData(stream, Message("x"), /*end=*/false);
    client.SendHeaders(stream, {{"x", "y"}}, /*end=*/true);
    ASSERT_EQ(client.Wait(stream).grpc_status(), "0") << stream;
  }
}

// Goal: who sends too much by mistake hears so; who goes on does not.
TEST_F(ServerFloodTest, HeadersOverTheLimitAreAnsweredSomeTimes) {
  RawClient client(port());
  ASSERT_TRUE(SendHead(client, 1, NewLargeHeader() + SameAgain(5)));
  EXPECT_EQ(client.Wait(1).grpc_status(), "8");
  for (uint32_t stream = 3; stream < 400; stream += 2) {
    if (!SendHead(client, stream, SameAgain(5))) break;
  }
  ExpectEnd(client, NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST_F(ServerFloodTest, EmptyDataFramesWithoutEndEndTheConnection) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Echo"));
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += DataFrame(1, "", /*end=*/false);
  client.Send(many);
  ExpectEnd(client, NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST_F(ServerFloodTest, SomeEmptyDataFramesAreNoFlood) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Echo"));
  for (int i = 0; i < 100; ++i) client.SendData(1, "", /*end=*/false);
  client.SendData(1, Message("x"), /*end=*/false);
  client.SendData(1, "");
  EXPECT_EQ(client.Wait(1).grpc_status(), "0");
}

// ---- RFC 9113, 5.1: what may not be sent on a stream that is closed.

TEST_F(ServerFloodTest, DataOnAStreamThatIsOverEndsTheConnection) {
  RawClient client(port());
  EXPECT_EQ(client.Call(1, "/t.T/Echo", "x").grpc_status(), "0");
  client.SendData(1, "more");
  ExpectEnd(client, NGHTTP2_STREAM_CLOSED);
}

TEST_F(ServerFloodTest, HeadersOnAStreamThatIsOverEndTheConnection) {
  RawClient client(port());
  EXPECT_EQ(client.Call(1, "/t.T/Echo", "x").grpc_status(), "0");
  client.SendHeaders(1, GrpcHeaders("/t.T/Echo"), true);
  ExpectEnd(client, NGHTTP2_STREAM_CLOSED);
}

TEST_F(ServerFloodTest, ASmallerStreamNumberEndsTheConnection) {
  RawClient client(port());
  EXPECT_EQ(client.Call(5, "/t.T/Echo", "x").grpc_status(), "0");
  // Another gap behind it hides the first one from nobody.
  EXPECT_EQ(client.Call(9, "/t.T/Echo", "x").grpc_status(), "0");
  client.SendHeaders(3, GrpcHeaders("/t.T/Echo"), true);
  ExpectEnd(client, NGHTTP2_PROTOCOL_ERROR);
}

TEST_F(ServerFloodTest, DataBehindTheEndOfARequestEndsTheConnection) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Silent"));
  client.SendData(1, Message(""));
  client.SendData(1, "more");
  ExpectEnd(client, NGHTTP2_STREAM_CLOSED);
}

// Goal: what may have been on its way when the stream ended does no harm.
TEST_F(ServerFloodTest, WindowsAndResetsOfAStreamThatIsOverAreIgnored) {
  RawClient client(port());
  EXPECT_EQ(client.Call(1, "/t.T/Echo", "x").grpc_status(), "0");
  client.Send(Frame(NGHTTP2_WINDOW_UPDATE, 0, 1, Number(1)));
  client.SendReset(1);
  EXPECT_EQ(client.Call(3, "/t.T/Echo", "x").grpc_status(), "0");
}

// Goal: who does not speak gRPC gets a whole answer of HTTP, once its request is there.
TEST_F(ServerFloodTest, WhatIsNotGrpcIsAnsweredWithATextOnceTheRequestHasEnded) {
  RawClient client(port());
  Headers head = GrpcHeaders("/t.T/Echo");
  head[5].second = "text/html";
  client.SendHeaders(1, head);
  client.SendData(1, "the body", /*end=*/false);
  EXPECT_EQ(client.Call(3, "/t.T/Echo", "x").grpc_status(), "0");
  client.SendData(1, "", /*end=*/true);
  const RawAnswer answer = client.Wait(1);
  EXPECT_EQ(answer.headers.at(":status"), "415");
  EXPECT_EQ(answer.headers.at("content-type"), "text/plain");
  EXPECT_EQ(answer.data, "not application/grpc\n");
  EXPECT_FALSE(answer.reset.has_value());
}

}  // namespace
}  // namespace mokv::rpc
