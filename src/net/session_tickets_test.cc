// A stock OpenSSL client offers its session once more: when a server of ours takes it, and that what it
// knows of the client then is what it knew before.
#include "net/session_tickets.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <ctime>
#include <memory>
#include <optional>
#include <thread>

#include "base/status.h"
#include "net/testing/echo_server.h"
#include "net/testing/test_certificates.h"
#include "net/testing/tls_peer.h"
#include "net/testing/wait.h"

namespace mokv::net {
namespace {

struct SessionDeleter {
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using SessionPtr = std::unique_ptr<SSL_SESSION, SessionDeleter>;

class SessionTicketsTest : public testing::Test {
 protected:
  // What a client saw of one connection.
  struct Visit {
    bool served = false;
    bool resumed = false;
    SessionPtr session;  // For the next.
  };

  SessionTicketsTest() {
    files_.MakeCa("ca");
    files_.Make("node", "ca", {.common_name = "node"});
    files_.Make("alice", "ca", {.common_name = "alice", .names = ""});
    alice_ = files_.Files("alice", "ca");
    server_.emplace(Listener::Options{.tls = Context()});
  }

  std::shared_ptr<const TlsContext> Context(const std::string& list = "",
                                            const std::string& ca = "ca") {
    TlsFiles files = files_.Files("node", ca);
    if (!list.empty()) files.crl_file = files_.Path(list + ".pem");
    return TlsContext::ForServer(files, {EchoServer::kAlpn}).value();
  }

  // `look` is called while the connection is open.
  Visit Connect(
      const TlsFiles& files, SSL_SESSION* session, int version = TLS1_3_VERSION,
      const std::function<void(const Transport&)>& look = [](const Transport&) {}) {
    EXPECT_TRUE(Until([&] { return server_->open() == 0; }));
    TlsPeer client(
        TlsPeer::Side::kClient, server_->Connect(),
        {.files = files, .alpn = EchoServer::kAlpn, .version = version, .session = session});
    Visit visit;
    visit.served = client.Handshake() && client.Echoes("x");
    visit.resumed = SSL_session_reused(client.ssl()) == 1;
    visit.session.reset(SSL_get1_session(client.ssl()));
    if (!visit.served) return visit;
    server_->WithTransports(look);
    // OpenSSL does not resume what ended without a word.
    SSL_shutdown(client.ssl());
    return visit;
  }

  TestCertificates files_;
  TlsFiles alice_;
  std::optional<EchoServer> server_;
};

TEST_F(SessionTicketsTest, AResumedConnectionIsTheSameClients) {
  std::optional<int64_t> until;
  Visit visit = Connect(alice_, nullptr, TLS1_3_VERSION, [&](const Transport& transport) {
    until = transport.peer_valid_until_unix_s();
  });
  ASSERT_TRUE(visit.served);
  EXPECT_FALSE(visit.resumed);
  ASSERT_TRUE(until.has_value());
  // Each ticket from the one before.
  for (int i = 0; i < 3; ++i) {
    visit = Connect(alice_, visit.session.get(), TLS1_3_VERSION, [&](const Transport& transport) {
      EXPECT_EQ(transport.peer_name(), "alice");
      EXPECT_EQ(transport.protocol(), EchoServer::kAlpn);
      EXPECT_EQ(transport.peer_valid_until_unix_s(), until);
    });
    EXPECT_TRUE(visit.served);
    EXPECT_TRUE(visit.resumed);
  }
}

// Goal: what was read anew is what counts, even if the files are the same.
TEST_F(SessionTicketsTest, AReloadEndsAllTickets) {
  const Visit first = Connect(alice_, nullptr);
  server_->listener().SetTls(Context());
  const Visit second = Connect(alice_, first.session.get());
  EXPECT_TRUE(second.served);
  EXPECT_FALSE(second.resumed);
  const Visit third = Connect(alice_, second.session.get());
  EXPECT_TRUE(third.served);
  EXPECT_TRUE(third.resumed);
}

TEST_F(SessionTicketsTest, WhoIsRevokedDoesNotResume) {
  const Visit before = Connect(alice_, nullptr);
  ASSERT_TRUE(Connect(alice_, before.session.get()).resumed);
  files_.MakeRevocationList("list", "ca", {.revoked = {"alice"}});
  server_->listener().SetTls(Context("list"));
  const Visit after = Connect(alice_, before.session.get());
  EXPECT_FALSE(after.resumed);
  EXPECT_FALSE(after.served);
}

TEST_F(SessionTicketsTest, WhoseAuthorityIsGoneDoesNotResume) {
  const Visit before = Connect(alice_, nullptr);
  files_.MakeCa("other-ca");
  server_->listener().SetTls(Context("", "other-ca"));
  const Visit after = Connect(alice_, before.session.get());
  EXPECT_FALSE(after.resumed);
  EXPECT_FALSE(after.served);
}

TEST_F(SessionTicketsTest, WhoseCertificateHasEndedDoesNotResume) {
  Visit visit;
  std::optional<int64_t> until;
  // Longer, if this machine is so slow that it has ended before it is seen.
  for (long seconds = 2; !visit.resumed && seconds < 100; seconds *= 2) {
    files_.Make("short", "ca", {.common_name = "short", .names = "", .valid_until = seconds});
    visit = Connect(files_.Files("short", "ca"), nullptr);
    if (!visit.served) continue;
    visit =
        Connect(files_.Files("short", "ca"), visit.session.get(), TLS1_3_VERSION,
                [&](const Transport& transport) { until = transport.peer_valid_until_unix_s(); });
  }
  ASSERT_TRUE(visit.resumed);
  ASSERT_TRUE(until.has_value());
  while (std::time(nullptr) < *until) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  visit = Connect(files_.Files("short", "ca"), visit.session.get());
  EXPECT_FALSE(visit.resumed);
  EXPECT_FALSE(visit.served);
}

// Goal: a connection that was resumed can be verified again, as all others can.
TEST_F(SessionTicketsTest, AResumedConnectionIsVerifiedAgain) {
  files_.MakeRevocationList("list", "ca", {.revoked = {"alice"}});
  const auto same = Context();
  const auto revoked = Context("list");
  const Visit first = Connect(alice_, nullptr);
  const Visit second =
      Connect(alice_, first.session.get(), TLS1_3_VERSION, [&](const Transport& transport) {
        EXPECT_TRUE(transport.VerifyAgain(*same).ok());
        EXPECT_EQ(MessageOf(transport.VerifyAgain(*revoked)), "certificate revoked");
      });
  EXPECT_TRUE(second.resumed);
}

// Goal: who came with intermediates could not be verified again, as a ticket does not hold these.
TEST_F(SessionTicketsTest, WhoCameWithIntermediatesDoesNotResume) {
  files_.MakeCa("middle", {.common_name = "middle", .signed_by = "ca"});
  files_.Make("bob", "middle", {.common_name = "bob", .names = ""});
  files_.WriteText("chain.pem", files_.ReadText("bob.pem") + files_.ReadText("middle.pem"));
  TlsFiles bob = files_.Files("bob", "ca");
  bob.certificate_file = files_.Path("chain.pem");
  const Visit first = Connect(bob, nullptr);
  ASSERT_TRUE(first.served);
  const Visit second = Connect(bob, first.session.get());
  EXPECT_TRUE(second.served);
  EXPECT_FALSE(second.resumed);
}

TEST_F(SessionTicketsTest, Tls12DoesNotResume) {
  const Visit first = Connect(alice_, nullptr, TLS1_2_VERSION);
  ASSERT_TRUE(first.served);
  EXPECT_EQ(SSL_SESSION_has_ticket(first.session.get()), 0) << "it would hold the secret";
  const Visit second = Connect(alice_, first.session.get(), TLS1_2_VERSION);
  EXPECT_TRUE(second.served);
  EXPECT_FALSE(second.resumed);
}

// Goal: a session that was stolen is of use for a while only, however often it is resumed.
TEST_F(SessionTicketsTest, AChainOfTicketsEnds) {
  const auto context = Context();
  SSL_CTX_set_timeout(context->get(), 1);
  server_->listener().SetTls(context);
  Visit visit = Connect(alice_, nullptr);
  EXPECT_TRUE(Until([&] {
    visit = Connect(alice_, visit.session.get());
    return visit.served && !visit.resumed;
  }));
}

// Goal: another server does not take it, even if it has the same files.
TEST_F(SessionTicketsTest, ATicketIsForOneServer) {
  const Visit first = Connect(alice_, nullptr);
  server_.emplace(Listener::Options{.tls = Context()});
  const Visit second = Connect(alice_, first.session.get());
  EXPECT_TRUE(second.served);
  EXPECT_FALSE(second.resumed);
}

}  // namespace
}  // namespace mokv::net
