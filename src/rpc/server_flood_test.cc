// The server against clients that send what costs it much and them little, or what the state of a
// stream does not allow.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <functional>
#include <map>
#include <string>

#include "net/testing/wait.h"
#include "rpc/compression.h"
#include "rpc/ended_streams.h"
#include "rpc/flood_watch.h"
#include "rpc/testing/raw_http2.h"
#include "rpc/testing/raw_server.h"

namespace mokv::rpc {
namespace {

class ServerFloodTest : public RawServerTest {
 protected:
  explicit ServerFloodTest(const ServerOptions& options = {}) : RawServerTest(options) {}

  static std::map<std::string, uint64_t> NoFloods() {
    std::map<std::string, uint64_t> floods;
    for (const std::string_view kind : FloodWatch::Kinds()) floods.emplace(kind, 0);
    return floods;
  }

  void ExpectEnd(RawClient& client, uint32_t error, const std::string& debug = "") {
    const auto& goaways = client.WaitForGoAways(1);
    ASSERT_EQ(goaways.size(), 1u);
    EXPECT_EQ(goaways[0].error, error);
    if (error == NGHTTP2_ENHANCE_YOUR_CALM) {
      std::map<std::string, uint64_t> floods = NoFloods();
      ++floods[goaways[0].debug];
      EXPECT_EQ(server_.stats().floods.get(), floods);
    }
    if (!debug.empty()) {
      EXPECT_EQ(goaways[0].debug, debug);
    }
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

// Goal: a message that gzip makes too large is answered, and many of them are a flood; those that it makes
//       large enough are none.
class ServerBombTest : public ServerFloodTest {
 protected:
  ServerBombTest() : ServerFloodTest(ServerOptions{.message_bytes_max = 100'000}) {}
};

TEST_F(ServerBombTest, CompressedMessagesOverTheLimitAreAnsweredSomeTimes) {
  Headers head = GrpcHeaders("/t.T/Echo");
  head.push_back({"grpc-encoding", "gzip"});
  const auto compressed = [](size_t bytes) {
    std::string gzip;
    Gzip(std::string(bytes, 'x'), &gzip);
    return Message(gzip, /*compressed=*/true);
  };
  const std::string large = compressed(1'000);
  const std::string bomb = compressed(100'001);
  RawClient client(port());
  uint32_t stream = 1;
  for (; stream < 50; stream += 2) {
    client.SendHeaders(stream, head);
    client.SendData(stream, large);
    ASSERT_EQ(client.Wait(stream).grpc_status(), "0") << stream;
  }
  client.SendHeaders(stream, head);
  client.SendData(stream, bomb);
  EXPECT_EQ(client.Wait(stream).grpc_status(), "8");
  for (stream += 2; stream < 300; stream += 2) {
    client.SendHeaders(stream, head);
    client.SendData(stream, bomb);
  }
  ExpectEnd(client, NGHTTP2_ENHANCE_YOUR_CALM, "compressed messages over the limit");
}

// Goal: each kind of flood has a count that grows from 0; whoever draws rates would miss the first.
TEST_F(ServerFloodTest, EachKindIsCountedFromTheBeginning) {
  EXPECT_EQ(server_.stats().floods.get(), NoFloods());
  EXPECT_GT(NoFloods().size(), 15u);
}

// ---- Frames that say nothing.

struct Frames {
  std::string name;
  std::string again;  // Sent again and again, while a call is open on stream 1.
  std::string reason;
};

class ServerFramesTest : public ServerFloodTest, public testing::WithParamInterface<Frames> {};

// Goal: whatever is sent without end ends the connection, and says which it was.
TEST_P(ServerFramesTest, WithoutEndEndTheConnection) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Echo"));
  std::string many;
  for (int i = 0; i < 1'000; ++i) many += GetParam().again;
  for (int i = 0; i < 30 && client.Send(many); ++i) {
  }
  ExpectEnd(client, NGHTTP2_ENHANCE_YOUR_CALM, GetParam().reason);
}

std::string Setting(uint8_t number, uint32_t value) {
  return std::string({'\0', static_cast<char>(number)}) + Number(value);
}
// All of these together fit into a call's first window: the client waits for nothing.
std::string Padded(std::string_view data) {
  return "\x03" + std::string(data) + std::string(3, '\0');
}

INSTANTIATE_TEST_SUITE_P(
    Floods, ServerFramesTest,
    testing::Values(
        Frames{"Settings", Frame(NGHTTP2_SETTINGS, 0, 0, ""), "SETTINGS"},
        Frames{"WindowsOfAllCalls",
               Frame(NGHTTP2_SETTINGS, 0, 0, Setting(4, 0)) +
                   Frame(NGHTTP2_SETTINGS, 0, 0, Setting(4, 1 << 20)),
               "SETTINGS"},
        Frames{"Pings", Frame(NGHTTP2_PING, 0, 0, "question"), "too_many_pings"},
        Frames{"PingAnswers", Frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "unasked!"),
               "answers to PINGs that nobody sent"},
        Frames{"Priorities", Frame(NGHTTP2_PRIORITY, 0, 7, Number(0) + "x"), "PRIORITY"},
        Frames{"ResetsOfOneCall", Frame(NGHTTP2_RST_STREAM, 0, 1, Number(8)),
               "calls that are begun and reset"},
        Frames{"Windows", Frame(NGHTTP2_WINDOW_UPDATE, 0, 0, Number(1)), "WINDOW_UPDATE"},
        Frames{"WindowsOfACall", Frame(NGHTTP2_WINDOW_UPDATE, 0, 1, Number(1)), "WINDOW_UPDATE"},
        Frames{"GoAways", Frame(NGHTTP2_GOAWAY, 0, 0, Number(0) + Number(0)), "GOAWAY"},
        Frames{"DataOfACallThatIsOver", DataFrame(1, std::string(500, 'x'), /*end=*/false),
               "frames that say nothing"},
        Frames{"UnknownFrames", Frame(0xbb, 0, 0, "x"), "frames that say nothing"},
        Frames{"DataOfOneByte", DataFrame(1, std::string(1, '\0'), /*end=*/false),
               "DATA frames of a few bytes"},
        Frames{"PaddedData", Frame(NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, Padded({"", 1})),
               "DATA frames of a few bytes"},
        Frames{"Padding", Frame(NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, Padded("")),
               "DATA frames without data"}),
    [](const auto& info) { return info.param.name; });

// Goal:   a stream of small messages is no flood.
// Method: each in a frame of its own, which ends no stream.
TEST_F(ServerFloodTest, SmallMessagesOfAStreamAreNoFlood) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Drain"));
  std::string many;
  for (int i = 0; i < 1'000; ++i) many += DataFrame(1, Message("x"), /*end=*/false);
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(client.Send(many));
  EXPECT_EQ(client.Call(3, "/t.T/Echo", "x").grpc_status(), "0");
}

// Goal: what nobody can send without breaking the rules ends the connection at once.
TEST_F(ServerFloodTest, AcknowledgementsThatAreNotOwedEndTheConnection) {
  RawClient client(port());
  const std::string ack = Frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "");
  client.Send(ack + ack);
  ExpectEnd(client, NGHTTP2_PROTOCOL_ERROR);
}

TEST_F(ServerFloodTest, AWindowThatGrowsByNothingEndsTheConnection) {
  RawClient client(port());
  client.Send(HeadersFrame(1, GrpcHeaders("/t.T/Never")) + DataFrame(1, Message("")) +
              Frame(NGHTTP2_WINDOW_UPDATE, 0, 1, Number(0)));
  ExpectEnd(client, NGHTTP2_PROTOCOL_ERROR);
}

TEST_F(ServerFloodTest, PromisesOfAClientEndTheConnection) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Echo"));
  client.Send(Frame(NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1,
                    Number(2) + HeaderBlock(GrpcHeaders("/t.T/Echo"))));
  ExpectEnd(client, NGHTTP2_PROTOCOL_ERROR);
}

// Goal: headers in pieces without end cost no more than headers (CVE-2024-28182).
class ServerPiecesTest : public ServerFloodTest, public testing::WithParamInterface<std::string> {};

TEST_P(ServerPiecesTest, OfHeadersWithoutEndEndTheConnection) {
  RawClient client(port());
  client.Send(Frame(NGHTTP2_HEADERS, 0, 1, HeaderBlock(GrpcHeaders("/t.T/Echo"))));
  std::string many;
  for (int i = 0; i < 1'000; ++i) many += Frame(NGHTTP2_CONTINUATION, 0, 1, GetParam());
  client.Send(many);
  ExpectEnd(client, NGHTTP2_ENHANCE_YOUR_CALM);
}

INSTANTIATE_TEST_SUITE_P(Floods, ServerPiecesTest,
                         testing::Values("", HeaderBlock({{"x", "y"}}),
                                         HeaderBlock({{"x", std::string(126, 'y')}})));

// ---- Calls that are begun and reset.

// Goal: a client cannot make the server begin calls without end by taking each back (CVE-2023-44487).
TEST_F(ServerFloodTest, CallsThatAreResetWithoutEndEndTheConnection) {
  RawClient client(port());
  std::string many;
  for (uint32_t stream = 1; stream < 60'000; stream += 2) {
    many += HeadersFrame(stream, GrpcHeaders("/t.T/Never"));
    many += Frame(NGHTTP2_RST_STREAM, 0, stream, Number(NGHTTP2_CANCEL));
  }
  client.Send(many);
  ExpectEnd(client, NGHTTP2_ENHANCE_YOUR_CALM, "calls that are begun and reset");
}

// What makes the server reset a call that it has begun.
struct Error {
  std::string name;
  std::function<std::string(uint32_t stream)> frames;
};
class ServerErrorsTest : public ServerFloodTest, public testing::WithParamInterface<Error> {};

// Goal: nor by errors for which the server takes it back (CVE-2025-8671).
TEST_P(ServerErrorsTest, WithoutEndEndTheConnection) {
  RawClient client(port());
  uint32_t stream = 1;
  bool open = true;
  for (int batch = 0; open && batch < 1'000; ++batch) {
    std::string many;
    for (int i = 0; i < 50; ++i, stream += 2) {
      many += HeadersFrame(stream, GrpcHeaders("/t.T/Never")) + GetParam().frames(stream);
    }
    open = client.Send(many);
  }
  const auto& goaways = client.WaitForGoAways(1);
  ASSERT_EQ(goaways.size(), 1u);
  EXPECT_EQ(goaways[0].error, uint32_t{NGHTTP2_ENHANCE_YOUR_CALM}) << goaways[0].debug;
  EXPECT_EQ(goaways[0].debug, "streams in error");
  // What one turn reads, and no more.
  EXPECT_LE(kept(), ServerOptions().calls_per_connection_max + 200);
}

std::string WholeRequest(uint32_t stream) { return DataFrame(stream, Message("")); }

INSTANTIATE_TEST_SUITE_P(
    Floods, ServerErrorsTest,
    testing::Values(Error{"WindowsThatGrowTooLarge",
                          [](uint32_t stream) {
                            return WholeRequest(stream) +
                                   Frame(NGHTTP2_WINDOW_UPDATE, 0, stream, Number(0x7fffffff));
                          }},
                    Error{"TrailersThatAreNone",
                          [](uint32_t stream) {
                            return HeadersFrame(stream, {{"X", "y"}}, /*end=*/true);
                          }}),
    [](const auto& info) { return info.param.name; });

// Goal: a client that does not care how many calls it may have is not refused for ever.
TEST_F(ServerFloodTest, CallsOverTheLimitWithoutEndEndTheConnection) {
  RawClient client(port());
  uint32_t stream = 1;
  // In portions whose refusals are read: otherwise it is those that end the connection.
  for (int portion = 0; portion < 40; ++portion) {
    std::string many;
    for (int i = 0; i < 1'000; ++i, stream += 2) {
      many += HeadersFrame(stream, GrpcHeaders("/t.T/Never"));
    }
    if (!client.Send(many)) break;
    if (portion > 1 && !client.Wait(stream - 2).ended) break;
  }
  ExpectEnd(client, NGHTTP2_ENHANCE_YOUR_CALM, "calls over the limit");
}

// ---- Windows.

// Goal: nobody makes the server cut an answer into bytes.
TEST_F(ServerFloodTest, WindowsOfAByteForAnAnswerEndTheConnection) {
  RawClient client(port());
  client.Send(Frame(NGHTTP2_SETTINGS, 0, 0, Setting(4, 0)));
  client.SendHeaders(1, GrpcHeaders("/t.T/Large"));
  client.SendData(1, Message(""));
  // One at a time: together they would be one larger window.
  for (size_t taken = 1; taken < 2'000; ++taken) {
    if (!client.Send(Frame(NGHTTP2_WINDOW_UPDATE, 0, 1, Number(1)))) break;
    if (client.WaitForData(1, taken).data.size() < taken) break;
  }
  ExpectEnd(client, NGHTTP2_ENHANCE_YOUR_CALM, "windows of a few bytes");
}

class ServerFreePingsTest : public ServerFloodTest {
 protected:
  ServerFreePingsTest() : ServerFloodTest(WithoutPolicy()) {}
  static ServerOptions WithoutPolicy() {
    ServerOptions options;
    options.ping_interval_min = Duration::zero();
    options.ping_interval_min_without_calls = Duration::zero();
    return options;
  }
};

// Goal: where PINGs have no limit, what is owed for them has one.
TEST_F(ServerFreePingsTest, AnswersThatNobodyReadsEndTheConnection) {
  RawClient client(port());
  std::string many;
  for (int i = 0; i < 1'000; ++i) many += Frame(NGHTTP2_PING, 0, 0, "question");
  bool open = true;
  for (int i = 0; open && i < 10'000; ++i) open = client.Send(many);
  EXPECT_FALSE(open);
  EXPECT_TRUE(net::Until([&] { return server_.stats().connections_open == 0; }));
  EXPECT_EQ(server_.stats().connections_broken, 1u);
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

// Goal: what comes for a stream of long ago is ignored, but not for ever.
TEST_F(ServerFloodTest, HeadersOnAStreamThatIsForgottenAreIgnoredFrames) {
  RawClient client(port());
  uint32_t stream = 1;
  for (size_t i = 0; i <= EndedStreams::kRememberedMax; ++i, stream += 2) {
    EXPECT_EQ(client.Call(stream, "/t.T/Echo", "x").grpc_status(), "0");
  }
  client.SendHeaders(1, GrpcHeaders("/t.T/Echo"));
  EXPECT_EQ(client.Call(stream, "/t.T/Echo", "x").grpc_status(), "0");
  std::string many;
  for (int i = 0; i < 1'000; ++i) many += HeadersFrame(1, GrpcHeaders("/t.T/Echo"));
  for (int i = 0; i < 100 && client.Send(many); ++i) {
  }
  ExpectEnd(client, NGHTTP2_ENHANCE_YOUR_CALM, "frames that say nothing");
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
