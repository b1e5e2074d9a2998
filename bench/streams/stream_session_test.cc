// What the client of the stream benchmarks asks for and counts, against nghttp2's server side, in memory.
#include "streams/stream_session.h"

#include <gtest/gtest.h>

#include <string>

#include "base/status.h"
#include "load/fake_server.h"

namespace mokv::streams {
namespace {

constexpr size_t kInitialWindowBytes = 65'535;  // RFC 9113, 6.9.2.

class StreamSessionTest : public testing::Test, public StreamSession::Sink {
 protected:
  static StreamSession::Options Options(Direction direction, uint32_t streams) {
    return {.direction = direction,
            .streams = streams,
            .in_flight = 3,
            .scheme = "http",
            .authority = "localhost:1"};
  }

  // Carries bytes both ways until neither side has anything to say; the last that the session said.
  static absl::Status Exchange(StreamSession& client, load::FakeSession& server) {
    while (true) {
      std::string up;
      MOKV_RETURN_IF_ERROR(client.TakeOutput(up));
      EXPECT_TRUE(server.Receive(up)) << "the client broke the protocol";
      const std::string down = server.TakeOutput();
      if (up.empty() && down.empty()) return absl::OkStatus();
      MOKV_RETURN_IF_ERROR(client.Receive(down));
    }
  }

  static std::string AllOutput(StreamSession& client) {
    std::string all;
    std::string more;
    do {
      all += more;
      more.clear();
      EXPECT_TRUE(client.TakeOutput(more).ok());
    } while (!more.empty());
    return all;
  }

  void OnMessageBack() override { ++back_; }
  size_t back_ = 0;
};

// Goal: it asks with one empty message, counts what comes in whole messages, and an end is an error.
TEST_F(StreamSessionTest, CountsMessagesThatCome) {
  std::string asked;
  load::FakeSession server(
      [&](std::string_view path, std::string_view message) {
        asked += std::string(path) + ":" + std::string(message) + ";";
        return load::FakeReply{.message = std::string(10 * kFramedBytes - 6, 'x')};
      },
      {});
  StreamSession client(Options(Direction::kToClient, 2), *this);
  const absl::Status status = Exchange(client, server);
  EXPECT_EQ(asked, "/bench.Streams/Produce:;/bench.Streams/Produce:;");
  EXPECT_EQ(client.messages(), 2u * 9) << "the tenth of each is cut off";
  EXPECT_EQ(MessageOf(status), "the server has ended a stream: NO_ERROR");
}

// Goal: it sends what the windows allow, and goes on once they grow.
TEST_F(StreamSessionTest, CountsMessagesThatGo) {
  load::FakeSession server([](std::string_view, std::string_view) { return load::FakeReply{}; },
                           {});
  StreamSession client(Options(Direction::kToServer, 1), *this);
  const std::string first = AllOutput(client);
  EXPECT_EQ(client.messages(), kInitialWindowBytes / kFramedBytes);
  EXPECT_TRUE(server.Receive(first)) << "the client broke the protocol";
  EXPECT_TRUE(client.Receive(server.TakeOutput()).ok());
  EXPECT_TRUE(server.Receive(AllOutput(client))) << "the client broke the protocol";
  EXPECT_GT(client.messages(), kInitialWindowBytes / kFramedBytes);
}

// Goal: of an echo so many messages are in flight as it was told.
TEST_F(StreamSessionTest, SendsAsManyAsMayBeInFlight) {
  StreamSession client(Options(Direction::kBoth, 1), *this);
  // Frames' heads, the preface and the head of the call are less than a message.
  EXPECT_EQ(AllOutput(client).size() / kFramedBytes, size_t{3});
  EXPECT_EQ(client.messages(), 0u);
  EXPECT_EQ(back_, 0u);
}

}  // namespace
}  // namespace mokv::streams
