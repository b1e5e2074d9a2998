// The server and what HTTP/2's frames may carry beside gRPC: priorities and padding.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <optional>
#include <string>

#include "net/testing/raw_socket.h"
#include "rpc/testing/raw_http2.h"
#include "rpc/testing/raw_server.h"

namespace mokv::rpc {
namespace {

constexpr uint32_t kExclusive = 0x80000000;  // RFC 7540, 6.2.

class ServerFrameTest : public RawServerTest {
 protected:
  void ExpectBroken(RawClient& client) {
    const auto& goaways = client.WaitForGoAways(1);
    ASSERT_EQ(goaways.size(), 1u);
    EXPECT_EQ(goaways[0].error, uint32_t{NGHTTP2_PROTOCOL_ERROR});
    EXPECT_TRUE(client.socket().WaitForEnd());
    EXPECT_EQ(server_.stats().connections_broken, 1u);
  }
};

// ---- Priorities (RFC 7540, 5.3; RFC 9113, 5.3.2 has done away with them).

// The beginning of a call that depends on another one.
std::string Dependent(uint32_t stream, uint32_t on, const std::string& path) {
  return Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_PRIORITY, stream,
               Number(on) + '\x0f' + HeaderBlock(GrpcHeaders(path)));
}

// Windows so large that no answer waits for one.
void OpenWindows(RawClient& client) {
  client.Send(Frame(NGHTTP2_SETTINGS, 0, 0, std::string("\0\x04", 2) + Number(0x7fffffff)) +
              Frame(NGHTTP2_WINDOW_UPDATE, 0, 0, Number(0x7fff0000)));
}

TEST_F(ServerFrameTest, SaysThatItKnowsNoPriorities) {
  net::RawSocket socket(port());
  socket.Send(std::string(kPreface) + Frame(NGHTTP2_SETTINGS, 0, 0, ""));
  const std::optional<RawFrame> settings = FrameReader(socket).Read();
  ASSERT_TRUE(settings.has_value());
  EXPECT_EQ(settings->type, uint32_t{NGHTTP2_SETTINGS});
  std::optional<uint32_t> value;
  for (size_t at = 0; at + 6 <= settings->payload.size(); at += 6) {
    if (settings->payload.substr(at, 2) == std::string("\0\x09", 2))
      value = settings->NumberAt(at + 2);
  }
  EXPECT_EQ(value, 1u) << "RFC 9218, 2.1";
}

TEST_F(ServerFrameTest, AnswersCallsThatDependOnOthers) {
  RawClient client(port());
  client.Send(Dependent(1, kExclusive, "/t.T/Echo") + DataFrame(1, Message("one")));
  EXPECT_EQ(client.Wait(1).data, Message("one"));
  client.Send(Dependent(3, kExclusive | 1, "/t.T/Echo") +
              DataFrame(3, Message("on one that is over")));
  EXPECT_EQ(client.Wait(3).data, Message("on one that is over"));
  client.Send(Dependent(5, kExclusive | 99, "/t.T/Echo") + DataFrame(5, Message("on one to come")));
  EXPECT_EQ(client.Wait(5).data, Message("on one to come"));
  client.Send(Frame(NGHTTP2_PRIORITY, 0, 99, Number(kExclusive) + '\x01'));
  EXPECT_EQ(client.Call(99, "/t.T/Echo", "the one").data, Message("the one"));
}

TEST_F(ServerFrameTest, ACallThatDependsOnItselfBreaksTheConnection) {
  RawClient client(port());
  client.Send(Dependent(1, 1, "/t.T/Echo"));
  ExpectBroken(client);
}

// Goal:   no answer waits for one that it is said to depend on: nghttp2 would go down the chain of
//         those for each frame that it sends.
// Method: the first of a chain has so much to say that the last is answered long before its end.
TEST_F(ServerFrameTest, AnAnswerWaitsForNoneThatItDependsOn) {
  RawClient client(port());
  OpenWindows(client);
  std::string calls = Dependent(1, kExclusive, "/t.T/Large");
  uint32_t stream = 3;
  for (; stream < 101; stream += 2) {
    calls += Dependent(stream, kExclusive | (stream - 2), "/t.T/Never");
  }
  calls += Dependent(stream, kExclusive | (stream - 2), "/t.T/Echo");
  client.Send(calls + DataFrame(1, Message("")) + DataFrame(stream, Message("last")));
  EXPECT_EQ(client.Wait(stream).data, Message("last"));
  EXPECT_FALSE(client.answer(1).ended);
}

// Goal: answers share their connection: a large one is no reason to wait, even when a client calls it
//       urgent (RFC 9218, 4).
TEST_F(ServerFrameTest, AnswersTakeTurnsWhateverTheirClientSaysOfThem) {
  for (const char* priority : {"", "u=0", "u=0, i"}) {
    RawClient client(port());
    OpenWindows(client);
    Headers large = GrpcHeaders("/t.T/Large");
    if (*priority != '\0') large.emplace_back("priority", priority);
    client.Send(HeadersFrame(1, large) + HeadersFrame(3, GrpcHeaders("/t.T/Echo")) +
                DataFrame(1, Message("")) + DataFrame(3, Message("small")));
    EXPECT_EQ(client.Wait(3).data, Message("small"));
    EXPECT_FALSE(client.answer(1).ended) << priority;
  }
}

// ---- Padding (RFC 9113, 6.1 and 6.2).

constexpr size_t kPaddingMax = 255;

std::string PaddedFrame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload,
                        size_t padding = kPaddingMax) {
  return Frame(type, flags | NGHTTP2_FLAG_PADDED, stream,
               static_cast<char>(padding) + std::string(payload) + std::string(padding, '\0'));
}

TEST_F(ServerFrameTest, PaddingIsNoPartOfACall) {
  RawClient client(port());
  const std::string block = HeaderBlock(GrpcHeaders("/t.T/Echo"));
  client.Send(PaddedFrame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, block) +
              PaddedFrame(NGHTTP2_DATA, 0, 1, Message("hello").substr(0, 7)) +
              PaddedFrame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, Message("hello").substr(7)));
  EXPECT_EQ(client.Wait(1).data, Message("hello"));
  // Padding and a priority, and a request that ends with nothing but padding.
  client.Send(PaddedFrame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_PRIORITY, 3,
                          Number(kExclusive) + '\x0f' + block) +
              PaddedFrame(NGHTTP2_DATA, 0, 3, Message("again")) +
              PaddedFrame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 3, ""));
  const RawAnswer answer = client.Wait(3);
  EXPECT_EQ(answer.data, Message("again"));
  EXPECT_EQ(answer.grpc_status(), "0");
}

// Goal: windows count padding, and get it back: a client that pads can go on for ever.
TEST_F(ServerFrameTest, WindowsCountPadding) {
  constexpr size_t kFrames = 1'000;
  const std::string message = Message(std::string(kFrames, 'x'));
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Echo"));
  std::string frames;
  for (size_t i = 0; i < kFrames; ++i) {
    frames += PaddedFrame(NGHTTP2_DATA, 0, 1, message.substr(i, 1));
  }
  client.Send(frames);
  constexpr uint64_t kSentBytes = kFrames * (1 + 1 + kPaddingMax);
  constexpr uint64_t kWindowBytes = 65'535;  // Of a client that has not acknowledged the SETTINGS.
  const uint64_t grown = client.WaitForWindow(1, kSentBytes - kWindowBytes);
  EXPECT_GE(grown, kSentBytes - kWindowBytes);
  EXPECT_LE(grown, kSentBytes);
  client.SendData(1, message.substr(kFrames));
  const RawAnswer answer = client.Wait(1);
  EXPECT_EQ(answer.data, message);
  EXPECT_EQ(answer.grpc_status(), "0");
}

// A frame whose padding is as long as all of it, but for its head.
std::string OnlyPadding(uint8_t type, uint8_t flags, size_t bytes) {
  std::string payload(bytes, '\0');
  payload[0] = static_cast<char>(bytes);
  return Frame(type, flags | NGHTTP2_FLAG_PADDED, 1, payload);
}

TEST_F(ServerFrameTest, DataPaddedBeyondItsFrameBreaksTheConnection) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Echo"));
  client.Send(PaddedFrame(NGHTTP2_DATA, 0, 1, "", 3));  // The longest that four bytes can have.
  client.Send(OnlyPadding(NGHTTP2_DATA, 0, 4));
  ExpectBroken(client);
}

TEST_F(ServerFrameTest, HeadersPaddedBeyondTheirFrameBreakTheConnection) {
  RawClient client(port());
  client.Send(OnlyPadding(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 100));
  ExpectBroken(client);
}

}  // namespace
}  // namespace mokv::rpc
