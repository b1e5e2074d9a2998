// The channel against servers that do not answer as they should; against one that does:
// server_test.cc.
#include "rpc/channel.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include "base/status.h"
#include "net/testing/raw_socket.h"
#include "net/testing/test_certificates.h"
#include "rpc/testing/channel_call.h"
#include "rpc/testing/raw_http2.h"

namespace mokv::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Headers kAnswerHeaders = {{":status", "200"}, {"content-type", "application/grpc"}};

class ChannelTest : public testing::Test {
 protected:
  ChannelTest() { pool_.Start(); }

  Channel::Options To(uint16_t port) const { return {.target = {"127.0.0.1", port}}; }

  // The end of a unary call, which is stream 1, that was answered with `frames`.
  absl::Status StatusAfter(std::string_view frames) { return EndAfter(frames).status; }
  CallResult EndAfter(std::string_view frames, bool close = false) {
    Channel channel(pool_.thread(0), To(server_.port()));
    auto call = BeginCall(channel, "/t.T/Echo", "");
    net::RawSocket socket = server_.Accept();
    FrameReader reader(socket);
    EXPECT_TRUE(reader.Skip(kPreface.size()));
    std::optional<RawFrame> frame;
    do {
      frame = reader.Read();
    } while (frame.has_value() && frame->type != NGHTTP2_DATA);
    socket.Send(Frame(NGHTTP2_SETTINGS, 0, 0, ""));
    socket.Send(frames);
    if (close) socket.Close();
    return call.get();
  }

  net::IoPool pool_{1};
  net::RawListener server_;
};

// Goal: what comes from a proxy is told apart from what comes from the server.
TEST_F(ChannelTest, AnswersWithoutGrpcStatusEndByTheirHttpStatus) {
  const auto http = [&](const std::string& status) {
    const absl::Status result =
        StatusAfter(HeadersFrame(1, {{":status", status}, {"content-type", "text/html"}}, true));
    // Nobody knows what became of the request: it must not look as if it could be sent again.
    EXPECT_NE(MessageOf(result).find("outcome unknown"), std::string_view::npos) << result;
    return result.code();
  };
  EXPECT_EQ(http("200"), absl::StatusCode::kUnknown);
  EXPECT_EQ(http("401"), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(http("404"), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(http("503"), absl::StatusCode::kUnavailable);
}

TEST_F(ChannelTest, GrpcStatusGoesBeforeTheHttpStatus) {
  const absl::Status status = StatusAfter(HeadersFrame(
      1, {{":status", "503"}, {"grpc-status", "5"}, {"grpc-message", "no%20key"}}, true));
  EXPECT_EQ(status, absl::NotFoundError("no key"));
}

TEST_F(ChannelTest, MalformedGrpcStatusIsUnknown) {
  for (const char* text : {"0x", "99", "-1"}) {
    EXPECT_EQ(
        StatusAfter(HeadersFrame(1, {{":status", "200"}, {"grpc-status", text}}, true)).code(),
        absl::StatusCode::kUnknown)
        << text;
  }
}

TEST_F(ChannelTest, OkWithoutAMessageIsAnError) {
  EXPECT_EQ(StatusAfter(HeadersFrame(1, {{":status", "200"}, {"grpc-status", "0"}}, true)).code(),
            absl::StatusCode::kInternal);
}

TEST_F(ChannelTest, MoreThanOneMessageIsAnError) {
  EXPECT_EQ(StatusAfter(HeadersFrame(1, kAnswerHeaders) +
                        DataFrame(1, Message("a") + Message("b"), /*end=*/false))
                .code(),
            absl::StatusCode::kInternal);
}

TEST_F(ChannelTest, ResetCallsEndAsHttp2Says) {
  const auto reset = [&](uint32_t error) {
    return StatusAfter(Frame(NGHTTP2_RST_STREAM, 0, 1, Number(error))).code();
  };
  EXPECT_EQ(reset(NGHTTP2_REFUSED_STREAM), absl::StatusCode::kUnavailable);
  EXPECT_EQ(reset(NGHTTP2_ENHANCE_YOUR_CALM), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(reset(NGHTTP2_INTERNAL_ERROR), absl::StatusCode::kInternal);
}

// Goal: a server that ends a stream without a word of gRPC has not ended the call well.
TEST_F(ChannelTest, ResetsWithoutAnErrorAreNoSuccess) {
  const absl::Status status =
      StatusAfter(HeadersFrame(1, kAnswerHeaders) + DataFrame(1, Message("x"), /*end=*/false) +
                  Frame(NGHTTP2_RST_STREAM, 0, 1, Number(NGHTTP2_NO_ERROR)));
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
}

// RFC 9113, 8.1: so a server says that it does not want the rest of the request.
TEST_F(ChannelTest, AResetBehindTheAnswerChangesNothing) {
  const absl::Status status =
      StatusAfter(HeadersFrame(1, kAnswerHeaders) + DataFrame(1, Message("x"), /*end=*/false) +
                  HeadersFrame(1, {{"grpc-status", "0"}}, /*end=*/true) +
                  Frame(NGHTTP2_RST_STREAM, 0, 1, Number(NGHTTP2_NO_ERROR)));
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(ChannelTest, InformationalHeadersArePassedOver) {
  const CallResult end =
      EndAfter(HeadersFrame(1, {{":status", "103"}, {"link", "x"}}) +
               HeadersFrame(1, kAnswerHeaders) + DataFrame(1, Message("x"), /*end=*/false) +
               HeadersFrame(1, {{"grpc-status", "0"}}, /*end=*/true));
  EXPECT_TRUE(end.status.ok()) << end.status;
  EXPECT_EQ(end.message, "x");
}

TEST_F(ChannelTest, AnAnswerWithoutHttpStatusIsAnError) {
  EXPECT_EQ(StatusAfter(HeadersFrame(1, {{"content-type", "application/grpc"}})).code(),
            absl::StatusCode::kInternal);
}

// Goal: the page of a proxy ends the call at once, however long it is.
TEST_F(ChannelTest, APageEndsTheCall) {
  const absl::Status status =
      StatusAfter(HeadersFrame(1, {{":status", "200"}, {"content-type", "text/html"}}) +
                  DataFrame(1, "<html>", /*end=*/false));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnknown);
  EXPECT_NE(MessageOf(status).find("text/html"), std::string_view::npos) << status;
}

TEST_F(ChannelTest, TellsTheTrailersOfTheAnswer) {
  Headers headers = kAnswerHeaders;
  headers.emplace_back("fate", "no");
  const CallResult behind =
      EndAfter(HeadersFrame(1, headers) + DataFrame(1, Message("x"), /*end=*/false) +
               HeadersFrame(1, {{"grpc-status", "0"}, {"fate", "done"}}, true));
  EXPECT_TRUE(behind.status.ok()) << behind.status;
  EXPECT_EQ(behind.trailers, (Metadata{{"fate", "done"}}));
  Headers alone = headers;
  alone.emplace_back("grpc-status", "10");
  EXPECT_EQ(EndAfter(HeadersFrame(1, alone, true)).trailers, (Metadata{{"fate", "no"}}));
}

// Goal: a server that is careless with spaces is understood; many are.
TEST_F(ChannelTest, TakesAMessageWithASpaceAtItsEnd) {
  Headers headers = kAnswerHeaders;
  headers.emplace_back("grpc-status", "7");
  headers.emplace_back("grpc-message", "not permitted to ");
  const CallResult answer = EndAfter(HeadersFrame(1, headers, true));
  EXPECT_EQ(answer.status, absl::PermissionDeniedError("not permitted to "));
}

// Goal: whoever may send a call again learns whether the server may have begun it.
TEST_F(ChannelTest, SaysWhetherTheServerMayHaveBegunTheCall) {
  const CallResult lost = EndAfter("", /*close=*/true);
  EXPECT_EQ(lost.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(MessageOf(lost.status).find("outcome unknown"), std::string_view::npos);
  EXPECT_EQ(lost.reached, Reached::kMaybe);
  // GOAWAY that names no stream: the call was not looked at.
  const std::string goaway = Frame(NGHTTP2_GOAWAY, 0, 0, Number(0) + Number(NGHTTP2_NO_ERROR));
  const CallResult refused = EndAfter(goaway);
  EXPECT_EQ(refused.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(MessageOf(refused.status).find("outcome unknown"), std::string_view::npos);
  EXPECT_EQ(refused.reached, Reached::kNo);
}

// Goal:   a server that reads no more does not keep a caller beyond its deadline.
// Method: it allows any amount, and a request that no socket's buffers hold is on its way; neither
//         its end nor its reset can leave.
TEST_F(ChannelTest, DeadlinePassesWhileTheServerDoesNotRead) {
  Channel channel(pool_.thread(0), To(server_.port()));
  const std::string request(size_t{64} << 20, 'x');
  auto call = BeginCall(channel, "/t.T/Echo", request, milliseconds(500));
  net::RawSocket socket = server_.Accept();
  const std::string window = std::string("\0\x04", 2) + Number(0x7fffffff);
  socket.Send(Frame(NGHTTP2_SETTINGS, 0, 0, window));
  socket.Send(Frame(NGHTTP2_WINDOW_UPDATE, 0, 0, Number(0x7fffffff - 65535)));
  ASSERT_EQ(call.wait_for(seconds(30)), std::future_status::ready);
  const CallResult end = call.get();
  EXPECT_EQ(end.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(end.reached, Reached::kMaybe);
}

// Goal:   a deadline holds from the call on, not from the connection on.
// Method: the system takes the connection, but nobody speaks TLS there.
TEST_F(ChannelTest, DeadlinePassesWhileConnecting) {
  net::TestCertificates files;
  files.MakeCa("ca");
  files.Make("client", "ca", {.common_name = "client"});
  auto tls = net::TlsContext::ForClient(files.Files("client", "ca"), {"h2"});
  ASSERT_TRUE(tls.ok()) << tls.status();
  Channel::Options options = To(server_.port());
  options.tls = *tls;
  options.connect_timeout = seconds(20);
  Channel channel(pool_.thread(0), options);
  const CallResult end = BeginCall(channel, "/t.T/Echo", "", milliseconds(30)).get();
  EXPECT_EQ(end.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(end.reached, Reached::kNo);
}

TEST_F(ChannelTest, NobodyListeningIsUnavailable) {
  Channel nobody(pool_.thread(0), To(1));
  const CallResult end = BeginCall(nobody, "/t.T/Echo", "").get();
  EXPECT_EQ(end.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(end.reached, Reached::kNo);
}

}  // namespace
}  // namespace mokv::rpc
