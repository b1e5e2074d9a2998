// A client's connection without a channel around it. The server is written by hand.
#include "rpc/client_connection.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <atomic>
#include <optional>
#include <utility>

#include "base/testing/run_on.h"
#include "net/connector.h"
#include "net/testing/raw_socket.h"
#include "net/testing/wait.h"
#include "rpc/testing/raw_http2.h"

namespace mokv::rpc {
namespace {

class ClientConnectionTest : public testing::Test, public ClientConnection::Owner {
 protected:
  // Once every part of the test is there: the thread calls its functions.
  void SetUp() override {
    options_.target = {"127.0.0.1", listener_.port()};
    pool_.Start();
    RunOn(pool_.thread(0), [&] {
      connector_.Start(options_.target, nullptr, [&](auto transport) {
        connection_ = std::make_unique<ClientConnection>(*this, pool_.thread(0), options_,
                                                         Duration(0), *std::move(transport));
        connection_->Start();
      });
    });
    server_.emplace(listener_.Accept());
    reader_.emplace(*server_);
    EXPECT_TRUE(reader_->Skip(kPreface.size()));
    server_->Send(Frame(NGHTTP2_SETTINGS, 0, 0, ""));
    EXPECT_TRUE(net::Until([&] { return established_.load(); }));
  }

  // Before any part of the test goes: the thread calls its functions.
  void TearDown() override {
    RunOn(pool_.thread(0), [&] {
      connection_->Abort(absl::CancelledError("the test is over"));
      connection_ = nullptr;
    });
    pool_.Stop();
  }

  // So many calls at once, which the server answers when it has all of them; all have ended then.
  void MakeCalls(size_t count) {
    const size_t good_before = good_;
    RunOn(pool_.thread(0), [&] {
      for (size_t i = 0; i < count; ++i) {
        auto call = std::make_shared<ClientCall>();
        call->method = "/t.T/Echo";
        EXPECT_TRUE(call->request.SetMessage("x", UINT32_MAX).ok());
        call->unary_done = [&](const CallEnd& end, std::string_view) { good_ += end.status.ok(); };
        connection_->Submit(std::move(call));
      }
    });
    std::string answers;
    for (size_t asked = 0; asked < count;) {
      const std::optional<RawFrame> frame = reader_->Read();
      ASSERT_TRUE(frame.has_value());
      if (frame->type != NGHTTP2_DATA) continue;
      ++asked;
      answers +=
          HeadersFrame(frame->stream, {{":status", "200"}, {"content-type", "application/grpc"}}) +
          DataFrame(frame->stream, Message("x"), /*end=*/false) +
          HeadersFrame(frame->stream, {{"grpc-status", "0"}}, /*end=*/true);
    }
    server_->Send(answers);
    EXPECT_TRUE(net::Until([&] { return good_ == good_before + count; }));
  }

  size_t SessionBytes() {
    size_t bytes = 0;
    RunOn(pool_.thread(0), [&] { bytes = connection_->session_bytes(); });
    return bytes;
  }

 private:
  void OnConnected() override {}
  void OnEstablished(ClientConnection&) override { established_ = true; }
  void OnRoom() override {}
  void OnGoAway(ClientConnection&, bool) override {}
  void OnAnswered(std::shared_ptr<ClientCall>) override {}
  void OnDisconnected(ClientConnection&, const absl::Status&) override {}

  std::atomic<bool> established_{false};
  std::atomic<size_t> good_{0};
  net::RawListener listener_;
  std::optional<net::RawSocket> server_;
  std::optional<FrameReader> reader_;
  ChannelOptions options_;
  net::IoPool pool_{1};
  net::Connector connector_{pool_.thread(0)};
  std::unique_ptr<ClientConnection> connection_;
};

// Goal:   a connection that has been busy costs, once it is at rest, little more than a new one, and makes
//         calls as before.
// Method: many calls at once; then nothing, until it has given back what they needed; again.
TEST_F(ClientConnectionTest, AtRestItHasForgottenItsCalls) {
  // The tables of HPACK, and those that nghttp2 has made larger for many calls at once and cannot make
  // smaller again.
  constexpr size_t kBytesMax = size_t{48} << 10;
  for (int round = 0; round < 2; ++round) {
    MakeCalls(500);
    EXPECT_TRUE(net::Until([&] { return SessionBytes() <= kBytesMax; })) << SessionBytes();
  }
}

}  // namespace
}  // namespace mokv::rpc
