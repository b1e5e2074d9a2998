// A server of ours and TLS clients that are not: what is known of them.
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/status.h"
#include "net/testing/echo_server.h"
#include "net/testing/test_certificates.h"
#include "net/testing/tls_peer.h"
#include "net/testing/wait.h"

namespace mokv::net {
namespace {

class TransportTlsTest : public testing::Test {
 protected:
  TransportTlsTest() {
    files_.MakeCa("ca");
    files_.Make("node", "ca", {.common_name = "node"});
  }

  std::shared_ptr<const TlsContext> Context(const std::string& ca) {
    return TlsContext::ForServer(files_.Files("node", ca), {EchoServer::kAlpn}).value();
  }
  std::optional<int64_t> ValidUntil() {
    std::optional<int64_t> until;
    server_->WithTransports(
        [&](Transport& transport) { until = transport.peer_valid_until_unix_s(); });
    return until;
  }

  TestCertificates files_;
  std::optional<EchoServer> server_;
};

// Goal: the owner of a connection can tell when its certificate ends, whichever of the chain is first.
TEST_F(TransportTlsTest, TellsUntilWhenThePeerIsBelieved) {
  struct Case {
    long root, middle, leaf, first;
  };
  server_.emplace(Listener::Options{.tls = Context("ca")});
  for (const auto& [root, middle, leaf, first] :
       {Case{9000, 8000, 7000, 7000}, Case{9000, 7000, 8000, 7000}, Case{7000, 9000, 8000, 7000}}) {
    files_.MakeCa("root", {.common_name = "root", .valid_until = root});
    files_.MakeCa("middle", {.common_name = "middle", .signed_by = "root", .valid_until = middle});
    const int64_t before = std::time(nullptr);
    files_.Make("alice", "middle", {.common_name = "alice", .valid_until = leaf});
    const int64_t after = std::time(nullptr);
    files_.WriteText("chain.pem", files_.ReadText("alice.pem") + files_.ReadText("middle.pem"));
    server_->listener().SetTls(Context("root"));

    TlsFiles presented = files_.Files("alice", "ca");
    presented.certificate_file = files_.Path("chain.pem");
    TlsPeer client(TlsPeer::Side::kClient, server_->Connect(),
                   {.files = presented, .alpn = EchoServer::kAlpn});
    ASSERT_TRUE(client.Handshake());
    ASSERT_TRUE(client.Echoes("x")) << server_->last_end();
    const std::optional<int64_t> until = ValidUntil();
    ASSERT_TRUE(until.has_value());
    // The chain was made within a few seconds.
    EXPECT_GE(*until, before - 60 + first);
    EXPECT_LE(*until, after + first);
    client.socket().Close();
    ASSERT_TRUE(Until([&] { return server_->open() == 0; }));
  }
}

TEST_F(TransportTlsTest, InClearNobodysCertificateEnds) {
  server_.emplace(Listener::Options{});
  RawSocket client = server_->Connect();
  client.Send(EchoServer::kClearPrefix);
  std::string echo;
  ASSERT_TRUE(client.Receive(echo));
  EXPECT_EQ(ValidUntil(), std::nullopt);
}

// Goal: a certificate that ends while connected is noticed by the context that believed it, too.
TEST_F(TransportTlsTest, WhoseCertificateHasEndedIsNotBelievedAgain) {
  auto context = Context("ca");
  server_.emplace(Listener::Options{.tls = context});
  std::optional<TlsPeer> client;
  // Longer, if this machine is so slow that it has ended before it is seen.
  for (long seconds = 1; seconds < 100; seconds *= 2) {
    files_.Make("short", "ca", {.common_name = "short", .valid_until = seconds});
    client.emplace(
        TlsPeer::Side::kClient, server_->Connect(),
        TlsPeer::Options{.files = files_.Files("short", "ca"), .alpn = EchoServer::kAlpn});
    if (client->Handshake() && client->Echoes("x")) break;
  }
  const std::optional<int64_t> until = ValidUntil();
  ASSERT_TRUE(until.has_value());
  absl::Status trusted;
  while (trusted.ok()) {
    const int64_t asked_at = std::time(nullptr);
    server_->WithTransports(
        [&](Transport& transport) { trusted = transport.VerifyAgain(*context); });
    // Not a second too late.
    if (trusted.ok()) {
      EXPECT_LT(asked_at, *until);
    }
    std::this_thread::yield();
  }
  EXPECT_EQ(MessageOf(trusted), "certificate has expired");
  EXPECT_GE(std::time(nullptr), *until);
}

// Goal:   one that fails, in whatever way, leaves nothing behind for the others of its thread. (What it
//         could leave is in OpenSSL's queue of errors; the server of this test looks.)
// Method: each failure, then one connection that is there and one that comes.
TEST_F(TransportTlsTest, AFailureHarmsNoOtherConnection) {
  files_.MakeCa("other-ca");
  files_.Make("alice", "ca", {.common_name = "alice"});
  files_.Make("stranger", "other-ca", {.common_name = "stranger"});
  files_.Make("nobody", "ca", {});
  server_.emplace(Listener::Options{.tls = Context("ca")});
  const auto client = [&](const std::string& name, const std::string& alpn) {
    return std::make_unique<TlsPeer>(
        TlsPeer::Side::kClient, server_->Connect(),
        TlsPeer::Options{.files = files_.Files(name, "ca"), .alpn = alpn});
  };
  const auto served = [&] {
    auto found = client("alice", EchoServer::kAlpn);
    EXPECT_TRUE(found->Handshake() && found->Echoes("x"));
    return found;
  };
  const auto reset = [](TlsPeer& peer) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    setsockopt(peer.socket().fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    peer.socket().Close();
  };
  const std::vector<std::function<void()>> failures = {
      [&] { client("stranger", EchoServer::kAlpn)->Handshake(); },
      [&] { client("nobody", EchoServer::kAlpn)->Handshake(); },
      [&] { client("alice", "other")->Handshake(); },
      [&] { server_->Connect().Send("GET / HTTP/1.1\r\n\r\n"); },
      [&] {
        auto unsure = client("alice", EchoServer::kAlpn);
        unsure->socket().Send("\x16\x03\x01");
        reset(*unsure);
      },
      [&] { reset(*served()); },
      [&] { served()->socket().Close(); },
      [&] { SSL_shutdown(served()->ssl()); },
      [&] { served()->socket().Send("garbage"); },
      [&] {
        // With answers on their way.
        auto busy = served();
        busy->Send(std::string(1 << 20, 'x'));
        reset(*busy);
      },
  };
  const auto there = served();
  for (size_t i = 0; i < failures.size(); ++i) {
    SCOPED_TRACE(i);
    failures[i]();
    EXPECT_TRUE(there->Echoes("x"));
    served();
    EXPECT_TRUE(Until([&] { return server_->open() == 1; }));
  }
}

// Goal: when an authority has been renewed, its old certificate's end closes nothing.
TEST_F(TransportTlsTest, ANewerChainCountsOnceItIsVerified) {
  files_.MakeCa("root", {.common_name = "root", .valid_until = 1000});
  files_.Make("alice", "root", {.common_name = "alice", .valid_until = 100'000});
  server_.emplace(Listener::Options{.tls = Context("root")});
  TlsPeer client(TlsPeer::Side::kClient, server_->Connect(),
                 {.files = files_.Files("alice", "ca"), .alpn = EchoServer::kAlpn});
  ASSERT_TRUE(client.Handshake());
  ASSERT_TRUE(client.Echoes("x")) << server_->last_end();
  const int64_t before = ValidUntil().value();
  files_.RenewCa("root", {.common_name = "root", .valid_until = 50'000});
  const auto renewed = Context("root");
  absl::Status trusted = absl::UnknownError("");
  server_->WithTransports([&](Transport& transport) { trusted = transport.VerifyAgain(*renewed); });
  EXPECT_TRUE(trusted.ok()) << trusted;
  EXPECT_GE(ValidUntil().value(), before + 49'000 - 60);
}

}  // namespace
}  // namespace mokv::net
