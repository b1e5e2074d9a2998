// The watch over clients, on a clock and at moments that the test chooses: a connection without a
// server around it, whose owner is the test.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <functional>
#include <future>
#include <memory>
#include <vector>

#include "base/testing/fake_clock.h"
#include "net/testing/loopback.h"
#include "net/testing/wait.h"
#include "rpc/call.h"
#include "rpc/server_connection.h"
#include "rpc/testing/raw_http2.h"
#include "rpc/testing/raw_server.h"

namespace mokv::rpc {
namespace {

using net::Until;
using std::chrono::seconds;

// How much of an answer counts as reading it.
constexpr uint32_t kProgressBytes = 16 << 10;

class ServerWatchTest : public testing::Test,
                        public CompletionSink,
                        public ServerConnection::Owner {
 protected:
  ServerWatchTest() {
    shared_.options.clock = &clock_;
    AddUnary("/t.T/Echo", Echo);
    AddUnary("/t.T/Never", [this](UnaryCall& call) { kept_.push_back(call.Defer()); });
    AddUnary("/t.T/Large", [](UnaryCall& call) {
      call.response().append(size_t{1} << 20, 'x');
      call.Finish();
    });
    net::Protocol protocol;
    protocol.clear_prefix = kPreface;
    protocol.accept = [this](std::unique_ptr<net::Transport> transport, std::string_view bytes) {
      const ServerConnection::Parts parts{
          .shared = shared_, .deadlines = deadlines_, .completions = *this};
      connection_ = std::make_unique<ServerConnection>(*this, parts, 1, std::move(transport));
      connection_->Start(bytes);
    };
    listener_ = net::BindLoopback(pool_, std::move(protocol));
    pool_.Start();
    listener_->Start();
  }

  ~ServerWatchTest() override {
    listener_->Stop();
    pool_.Stop();
  }

  void AddUnary(const std::string& path, UnaryHandler handler) {
    auto method = std::make_unique<Method>();
    method->path = path;
    method->handler = std::move(handler);
    shared_.methods.emplace(path, std::move(method));
  }

  // Time passes; then the connection is looked at.
  void Pass(Duration duration) {
    OnThread([&] {
      clock_.now = clock_.now + duration;
      if (connection_ != nullptr) connection_->Watch(clock_.now);
    });
  }

  bool IsOpen() {
    bool open = false;
    OnThread([&] { open = connection_ != nullptr; });
    return open;
  }

  // A client with one call under way that the server has begun.
  void Begin(RawClient& client, const std::string& path) {
    Begin(client, path, Message(""), /*end=*/true);
  }
  // Or its beginning. In one piece: the server has all of it when it has begun.
  void Begin(RawClient& client, const std::string& path, const std::string& data, bool end) {
    client.Send(HeadersFrame(1, GrpcHeaders(path)) + DataFrame(1, data, end));
    ASSERT_TRUE(Until([&] { return shared_.stats.calls_open == 1; }));
  }

  uint16_t port() const { return listener_->port(); }
  const ServerStats& stats() const { return shared_.stats; }

 private:
  void OnThread(const std::function<void()>& task) {
    std::promise<void> done;
    pool_.thread(0).Post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

  void Complete(Completion) override {}
  void FlushAtTurnEnd(ServerConnection&) override { PostFlush(); }
  void FlushLater(ServerConnection&) override { PostFlush(); }
  void Remove(ServerConnection&) override { pool_.thread(0).DeleteSoon(std::move(connection_)); }
  void PostFlush() {
    pool_.thread(0).Post([this] {
      if (connection_ != nullptr) connection_->Flush();
    });
  }

  FakeClock clock_;  // Of the I/O thread.
  net::IoPool pool_{1};
  ServerShared shared_;
  Deadlines deadlines_{pool_.thread(0), clock_, [](CallId) {}};
  std::unique_ptr<ServerConnection> connection_;
  std::vector<Responder> kept_;
  std::unique_ptr<net::Listener> listener_;
};

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
