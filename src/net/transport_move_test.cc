// A transport that is accepted on one I/O thread and lives on another one: nothing that was sent
// before, during or after the move may be lost.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>

#include "base/testing/run_on.h"
#include "net/connector.h"
#include "net/testing/loopback.h"
#include "net/testing/raw_socket.h"
#include "net/testing/test_certificates.h"
#include "net/testing/wait.h"

namespace mokv::net {
namespace {

// Different everywhere, so that a lost or doubled piece shows.
std::string Pattern(size_t size_bytes) {
  std::string text = "move\n";
  for (uint32_t i = 0; text.size() < size_bytes; ++i) text += std::to_string(i) + ",";
  text.resize(size_bytes);
  return text;
}

// What arrives, on the thread that it was moved to.
class Collector final : public Transport::Handler {
 public:
  explicit Collector(IoThread& home) : home_(home) {}

  void Take(std::unique_ptr<Transport> transport, std::string_view first_bytes) {
    on_home_ = on_home_ && home_.IsCurrent();
    transport_ = std::move(transport);
    blocked_on_arrival_ = transport_->blocked();
    bytes_ += first_bytes;
    transport_->Resume(this);
    size_ = bytes_.size();
  }
  // On the thread.
  void Send(std::string_view bytes) { transport_->Send(bytes); }
  void ReleaseBuffers() { transport_->ReleaseBuffers(); }
  void Drop() { transport_ = nullptr; }

  void OnReady() override { told_ready_ = true; }
  void OnBytes(std::string_view bytes) override {
    on_home_ = on_home_ && home_.IsCurrent();
    bytes_ += bytes;
    size_ = bytes_.size();
  }
  void OnReadEnd() override {}
  void OnWritable() override {}
  void OnClosed(const absl::Status&) override { closed_ = true; }

  size_t size() const { return size_; }
  bool closed() const { return closed_; }
  // Whether bytes waited to be sent when it was moved.
  bool blocked_on_arrival() const { return blocked_on_arrival_; }
  // Once the threads have stopped.
  const std::string& bytes() const { return bytes_; }
  bool only_at_home() const { return on_home_ && !told_ready_; }

 private:
  IoThread& home_;
  std::unique_ptr<Transport> transport_;
  std::string bytes_;
  std::atomic<size_t> size_{0};
  std::atomic<bool> closed_{false};
  std::atomic<bool> blocked_on_arrival_{false};
  bool on_home_ = true;
  bool told_ready_ = false;
};

// Sends a text as soon as it can, and counts what comes back: the first read waits for `may_read`.
class Client final : public Transport::Handler {
 public:
  explicit Client(
      std::string text, std::function<void()> may_read = [] {})
      : text_(std::move(text)), may_read_(std::move(may_read)) {}
  void Take(std::unique_ptr<Transport> transport) {
    transport_ = std::move(transport);
    transport_->Start(this);
  }
  void Send(std::string_view bytes) { transport_->Send(bytes); }
  void ReleaseBuffers() { transport_->ReleaseBuffers(); }
  void Drop() { transport_ = nullptr; }
  void OnReady() override {
    transport_->Send(text_);
    may_read_();
  }
  void OnBytes(std::string_view bytes) override { received_ += bytes.size(); }
  void OnReadEnd() override {}
  void OnWritable() override {}
  void OnClosed(const absl::Status&) override {}
  size_t received() const { return received_; }

 private:
  const std::string text_;
  const std::function<void()> may_read_;
  std::unique_ptr<Transport> transport_;
  std::atomic<size_t> received_{0};
};

class TransportMoveTest : public testing::TestWithParam<bool> {
 protected:
  TransportMoveTest() {
    if (GetParam()) {
      files_.MakeCa("ca");
      files_.Make("node", "ca", {.common_name = "node"});
    }
  }

  std::shared_ptr<const TlsContext> Tls(bool server) {
    if (!GetParam()) return nullptr;
    auto tls = server ? TlsContext::ForServer(files_.Files("node", "ca"), {"move"})
                      : TlsContext::ForClient(files_.Files("node", "ca"), {"move"});
    EXPECT_TRUE(tls.ok()) << tls.status();
    return *tls;
  }

  void Listen(std::string send_before_the_move = "") {
    Protocol protocol;
    protocol.alpn = "move";
    protocol.clear_prefix = "move\n";
    protocol.accept = [this, send_before_the_move](std::unique_ptr<Transport> transport,
                                                   std::string_view first_bytes) {
      transport->Send(send_before_the_move);
      Transport::MoveTo(
          std::move(transport), home_.thread(0),
          [this, first = std::string(first_bytes)](std::unique_ptr<Transport> arrived) {
            collector_.Take(std::move(arrived), first);
          });
    };
    listener_ = BindLoopback(pool_, std::move(protocol), {.tls = Tls(true)});
    pool_.Start();
    home_.Start();
    clients_.Start();
    listener_->Start();
  }

  void Connect(Client& client) {
    std::promise<void> connected;
    clients_.thread(0).Post([&] {
      connector_.Start({"127.0.0.1", listener_->port()}, Tls(false),
                       [&](absl::StatusOr<std::unique_ptr<Transport>> transport) {
                         ASSERT_TRUE(transport.ok()) << transport.status();
                         client.Take(*std::move(transport));
                         connected.set_value();
                       });
    });
    connected.get_future().wait();
  }

  // What belongs to a thread goes on it.
  void Stop(Client& client) {
    RunOn(clients_.thread(0), [&] { client.Drop(); });
    RunOn(home_.thread(0), [&] { collector_.Drop(); });
    listener_->Stop();
    pool_.Stop();
    home_.Stop();
    clients_.Stop();
  }

  TestCertificates files_;
  IoPool pool_{1};
  IoPool home_{1, "home"};
  IoPool clients_{1};
  Connector connector_{clients_.thread(0)};
  Collector collector_{home_.thread(0)};
  std::unique_ptr<Listener> listener_;
};

// All of it may have been read, or lie in OpenSSL or the socket, when the move begins.
TEST_P(TransportMoveTest, LosesNothingThatWasSentBefore) {
  for (const size_t size : {size_t{5}, size_t{1000}, size_t{60'000}, size_t{3} << 20}) {
    SCOPED_TRACE(size);
    const std::string text = Pattern(size);
    if (listener_ == nullptr) Listen();
    const size_t before = collector_.size();
    Client client(text);
    Connect(client);
    EXPECT_TRUE(Until([&] { return collector_.size() == before + size; }));
    RunOn(clients_.thread(0), [&] { client.Drop(); });
    EXPECT_TRUE(Until([&] { return collector_.closed(); }));
    RunOn(home_.thread(0), [&] {
      EXPECT_EQ(collector_.bytes().substr(before), text);
      collector_.Drop();
    });
  }
  Client nobody("");
  Stop(nobody);
  EXPECT_TRUE(collector_.only_at_home());
}

TEST_P(TransportMoveTest, SendsOnWhatWasPending) {
  const std::string answer = Pattern(size_t{16} << 20);  // More than sockets hold.
  Listen(answer);
  const std::string_view question = "move\n";
  Client client(std::string(question), [&] {
    EXPECT_TRUE(Until([&] { return collector_.size() == question.size(); }));
    EXPECT_TRUE(collector_.blocked_on_arrival());
  });
  Connect(client);
  EXPECT_TRUE(Until([&] { return client.received() == answer.size(); }));
  RunOn(home_.thread(0), [&] { collector_.Send("more"); });
  EXPECT_TRUE(Until([&] { return client.received() == answer.size() + 4; }));
  Stop(client);
}

// Goal: a stream that has given back its buffers sends and receives as before, wherever it is.
TEST_P(TransportMoveTest, GoesOnAfterItHasReleasedItsBuffers) {
  const std::string text = Pattern(100'000);
  Listen();
  Client client(text);
  Connect(client);
  EXPECT_TRUE(Until([&] { return collector_.size() == text.size(); }));
  for (size_t round = 1; round <= 3; ++round) {
    RunOn(home_.thread(0), [&] {
      collector_.ReleaseBuffers();
      collector_.Send(text);
    });
    EXPECT_TRUE(Until([&] { return client.received() == round * text.size(); }));
    RunOn(clients_.thread(0), [&] {
      client.ReleaseBuffers();
      client.Send(text);
    });
    EXPECT_TRUE(Until([&] { return collector_.size() == (round + 1) * text.size(); }));
  }
  Stop(client);
  EXPECT_EQ(collector_.bytes(), text + text + text + text);
}

INSTANTIATE_TEST_SUITE_P(, TransportMoveTest, testing::Bool(), [](const auto& info) {
  return info.param ? std::string("Tls") : std::string("Clear");
});

// A stream whose new home has stopped is closed, not lost.
TEST(TransportMove, ClosesWhatNeverArrives) {
  auto home = std::make_unique<IoPool>(1);
  IoPool pool(1);
  std::atomic<bool> moved{false};
  Protocol protocol;
  protocol.clear_prefix = "move\n";
  protocol.accept = [&](std::unique_ptr<Transport> transport, std::string_view) {
    Transport::MoveTo(std::move(transport), home->thread(0), [](std::unique_ptr<Transport>) {});
    moved = true;
  };
  auto listener = BindLoopback(pool, std::move(protocol));
  pool.Start();
  listener->Start();
  RawSocket socket(listener->port());
  socket.Send("move\n");
  EXPECT_TRUE(Until([&] { return moved.load(); }));
  listener->Stop();
  pool.Stop();
  home = nullptr;
  EXPECT_TRUE(socket.WaitForEnd());
}

}  // namespace
}  // namespace mokv::net
