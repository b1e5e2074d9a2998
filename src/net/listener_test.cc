// The listener against clients that do not do what they should; a good one is served all the same.
#include "net/listener.h"

#include <dirent.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/status.h"
#include "net/testing/loopback.h"
#include "net/testing/raw_socket.h"
#include "net/testing/test_certificates.h"
#include "net/testing/wait.h"

namespace mokv::net {
namespace {

// The end of the ClientHello's record header: TLS 1.0 handshake of 512 bytes, which never come.
constexpr std::string_view kHalfHello("\x16\x03\x01\x02\x00\x01", 6);

size_t OpenDescriptors() {
  size_t count = 0;
  DIR* directory = opendir("/proc/self/fd");
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

// Answers each connection of the protocol that begins with "ping\n" with "pong\n".
class ListenerTest : public testing::Test {
 protected:
  ~ListenerTest() override {
    if (listener_ != nullptr) listener_->Stop();
    pool_.Stop();
  }

  void Listen(Listener::Options options) {
    Protocol protocol;
    protocol.alpn = "ping";
    protocol.clear_prefix = "ping\n";
    protocol.accept = [](std::unique_ptr<Transport> transport, std::string_view) {
      transport->Send("pong\n");
      IoThread& thread = transport->thread();
      transport->Close();
      thread.DeleteSoon(std::move(transport));
    };
    listener_ = BindLoopback(pool_, std::move(protocol), std::move(options));
    pool_.Start();
    listener_->Start();
  }

  RawSocket Connect() { return RawSocket(listener_->port()); }

  bool ServesAGoodClient() {
    RawSocket good = Connect();
    good.Send("ping\n");
    std::string answer;
    while (good.Receive(answer)) {
    }
    return answer == "pong\n";
  }

  std::shared_ptr<const TlsContext> MakeTls() {
    files_.MakeCa("ca");
    files_.Make("node", "ca", {.common_name = "node"});
    return TlsContext::ForServer(files_.Files("node", "ca"), {"ping"}).value();
  }

  const ListenerStats& stats() const { return listener_->stats(); }

  TestCertificates files_;
  IoPool pool_{2};
  std::unique_ptr<Listener> listener_;
};

TEST_F(ListenerTest, ClosesGarbageAndOtherProtocols) {
  Listen({});
  RawSocket garbage = Connect();
  garbage.Send("\x01\x02\x03");
  EXPECT_TRUE(garbage.WaitForEnd());
  RawSocket http = Connect();
  http.Send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(http.WaitForEnd());
  EXPECT_EQ(stats().protocols_unknown, 2u);
  EXPECT_TRUE(ServesAGoodClient());
  EXPECT_EQ(stats().accepted, 1u);
}

TEST_F(ListenerTest, TakesAPrefixThatComesByteByByte) {
  Listen({});
  RawSocket slow = Connect();
  for (const char c : std::string_view("ping\n")) {
    slow.Send({&c, 1});
    std::this_thread::yield();
  }
  std::string answer;
  EXPECT_TRUE(slow.Receive(answer));
}

TEST_F(ListenerTest, CountsConnectionsThatCloseAtOnce) {
  Listen({});
  for (int i = 0; i < 20; ++i) Connect().Close();
  EXPECT_TRUE(Until([&] { return stats().closed_early == 20; }));
  EXPECT_TRUE(ServesAGoodClient());
}

TEST_F(ListenerTest, EndsConnectionsThatStayUndecided) {
  Listen({.handshake_timeout = std::chrono::milliseconds(30)});
  RawSocket silent = Connect();
  RawSocket half = Connect();
  half.Send("pin");
  EXPECT_TRUE(silent.WaitForEnd());
  EXPECT_TRUE(half.WaitForEnd());
  EXPECT_EQ(stats().handshakes_timed_out, 2u);
  // A good one may be too late as well, on a loaded machine.
  EXPECT_TRUE(Until([&] { return ServesAGoodClient(); }));
}

TEST_F(ListenerTest, EndsHalfATlsHandshake) {
  Listen({.tls = MakeTls(), .handshake_timeout = std::chrono::milliseconds(100)});
  RawSocket half = Connect();
  half.Send(kHalfHello);
  EXPECT_TRUE(half.WaitForEnd());
  EXPECT_EQ(stats().handshakes_timed_out, 1u);
}

TEST_F(ListenerTest, CountsTlsHandshakesThatFail) {
  Listen({.tls = MakeTls()});
  RawSocket clear_text = Connect();
  clear_text.Send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(clear_text.WaitForEnd());
  EXPECT_TRUE(Until([&] { return stats().handshakes_failed == 1; }));
  Connect().Close();
  EXPECT_TRUE(Until([&] { return stats().handshakes_failed == 2; }));
}

TEST_F(ListenerTest, StopEndsWhatHasNoProtocolYet) {
  Listen({});
  RawSocket undecided = Connect();
  undecided.Send("pin");
  EXPECT_TRUE(ServesAGoodClient());  // The other one has been accepted before it.
  const uint16_t port = listener_->port();
  listener_->Stop();
  EXPECT_TRUE(undecided.WaitForEnd());
  EXPECT_EQ(listener_->port(), port);
}

// Goal: a node that fails while it starts leaves nothing open, whatever clients were doing.
TEST(Listener, ClosesEverySocketWhenThePoolStopsFirst) {
  const size_t before = OpenDescriptors();
  {
    std::vector<RawSocket> clients;
    IoPool pool(2);
    auto listener = Listener::Bind(pool, {.address = {"127.0.0.1", 0}});
    ASSERT_TRUE(listener.ok());
    pool.Start();
    (*listener)->Start();
    for (int i = 0; i < 50; ++i) clients.emplace_back((*listener)->port());
    pool.Stop();
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

}  // namespace
}  // namespace mokv::net
