// A server's connection without a server around it, on a clock and at moments that the test chooses.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/testing/fake_clock.h"
#include "base/testing/run_on.h"
#include "net/testing/loopback.h"
#include "net/testing/wait.h"
#include "rpc/call.h"
#include "rpc/server_connection.h"
#include "rpc/testing/raw_http2.h"
#include "rpc/testing/raw_server.h"

namespace mokv::rpc {

// Takes every message.
class Counter final : public MessageSink {
 public:
  explicit Counter(std::atomic<size_t>& messages) : messages_(messages) {}
  void Take(const ReceivedMessage&) override { ++messages_; }

 private:
  std::atomic<size_t>& messages_;
};

// Has one message, and nothing more for a long time.
class OneMessage final : public MessageSource {
 public:
  static constexpr size_t kBytes = 1'000;

  Next Produce(std::string* message) override {
    if (std::exchange(done_, true)) return Next::kWait;
    message->append(kBytes, 'x');
    return Next::kMessage;
  }

 private:
  bool done_ = false;
};

class WatchedServerTest : public testing::Test,
                          public CompletionSink,
                          public ServerConnection::Owner {
 protected:
  explicit WatchedServerTest(const ServerOptions& options = {}) {
    shared_.options = options;
    shared_.options.clock = &clock_;
    Add("/t.T/Echo", UnaryHandler(Echo));
    Add("/t.T/Never", UnaryHandler([this](UnaryCall& call) { kept_.push_back(call.Defer()); }));
    Add("/t.T/Large", UnaryHandler([](UnaryCall& call) {
          call.response().append(size_t{1} << 20, 'x');
          call.Finish();
        }));
    Add("/t.T/One", ServerStreamHandler([](ServerStreamCall& call) {
          call.Start(std::make_unique<OneMessage>());
        }));
    Add("/t.T/Count", ClientStreamHandler([this](ClientStreamCall& call) {
          kept_.push_back(call.Defer());
          call.Start(std::make_unique<Counter>(messages_));
        }));
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

  // Before any part of the test goes: the thread calls its functions.
  void TearDown() override {
    listener_->Stop();
    pool_.Stop();
  }

  template <typename Handler>
  void Add(const std::string& path, Handler handler) {
    auto method = std::make_unique<Method>();
    method->path = path;
    method->handler = std::move(handler);
    shared_.methods.emplace(path, std::move(method));
  }

  // Time passes; then the connection is looked at.
  void Pass(Duration duration) {
    RunOn(pool_.thread(0), [&] {
      clock_.now = clock_.now + duration;
      if (connection_ != nullptr) connection_->Watch(clock_.now);
    });
  }

  bool IsOpen() {
    bool open = false;
    RunOn(pool_.thread(0), [&] { open = connection_ != nullptr; });
    return open;
  }

  // That HTTP/2 has for the connection, which must be open.
  size_t SessionBytes() {
    size_t bytes = 0;
    RunOn(pool_.thread(0), [&] { bytes = connection_->session_bytes(); });
    return bytes;
  }

  // A client with one call under way that the server has begun.
  void Begin(RawClient& client, const std::string& path) {
    Begin(client, path, Message(""), /*end=*/true);
  }
  // Or its beginning. In one piece: the server has all of it when it has begun.
  void Begin(RawClient& client, const std::string& path, const std::string& data, bool end) {
    client.Send(HeadersFrame(1, GrpcHeaders(path)) + DataFrame(1, data, end));
    ASSERT_TRUE(net::Until([&] { return shared_.stats.calls_open == 1; }));
  }

  // That have come for Count.
  size_t messages() const { return messages_; }

  uint16_t port() const { return listener_->port(); }
  const ServerStats& stats() const { return shared_.stats; }

 private:
  void Complete(Completion) override {}
  void FlushAtTurnEnd(ServerConnection&) override { PostFlush(); }
  void FlushLater(ServerConnection&) override { PostFlush(); }
  void Remove(ServerConnection&) override { pool_.thread(0).DeleteSoon(std::move(connection_)); }
  void PostFlush() {
    pool_.thread(0).Post([this] {
      if (connection_ != nullptr) connection_->Flush();
    });
  }

  std::atomic<size_t> messages_{0};
  FakeClock clock_;  // Of the I/O thread.
  net::IoPool pool_{1};
  ServerShared shared_;
  Deadlines deadlines_{pool_.thread(0), clock_, [](CallId) {}};
  std::unique_ptr<ServerConnection> connection_;
  std::vector<Responder> kept_;
  std::unique_ptr<net::Listener> listener_;
};

}  // namespace mokv::rpc
