// Server and channel over mutual TLS: who gets in, and as whom.
#include <gtest/gtest.h>

#include <atomic>

#include "base/status.h"
#include "net/testing/loopback.h"
#include "net/testing/test_certificates.h"
#include "net/testing/wait.h"
#include "rpc/server.h"
#include "rpc/testing/channel_call.h"

namespace mokv::rpc {
namespace {

using net::Until;

class ServerTlsTest : public testing::Test {
 protected:
  ServerTlsTest() : server_(pool_, Server::Options(), nullptr) {
    files_.MakeCa("ca");
    files_.MakeCa("other-ca");
    files_.Make("node", "ca", {.common_name = "node"});
    files_.Make("root", "ca", {.common_name = "root", .names = ""});
    files_.Make("stranger", "other-ca", {.common_name = "root", .names = ""});
    server_.AddUnary("/t.T/Whoami", [](UnaryCall& call) {
      call.response() += call.subject();
      call.Finish();
    });
  }

  ~ServerTlsTest() override {
    client_pool_.Stop();
    if (listener_ != nullptr) listener_->Stop();
    pool_.Stop();
  }

  // That believes the authority `ca`, but for what is on the list.
  std::shared_ptr<const net::TlsContext> Context(const std::string& certificate,
                                                 const std::string& list = "") {
    net::TlsFiles files = files_.Files(certificate, "ca");
    if (!list.empty()) files.crl_file = files_.Path(list + ".pem");
    auto tls = net::TlsContext::ForServer(files, {"h2"});
    EXPECT_TRUE(tls.ok()) << tls.status();
    return *tls;
  }

  void Serve(const std::string& certificate, const std::string& list = "") {
    Serve(Context(certificate, list));
  }

  void Serve(std::shared_ptr<const net::TlsContext> tls) {
    listener_ = net::BindLoopback(pool_, server_.protocol(), {.tls = std::move(tls)});
    pool_.Start();
    client_pool_.Start();
    listener_->Start();
  }

  CallResult Ask(std::shared_ptr<const net::TlsContext> tls, const std::string& request = "") {
    Channel channel(client_pool_.thread(0),
                    {.target = {"127.0.0.1", listener_->port()}, .tls = std::move(tls)});
    return BeginCall(channel, "/t.T/Whoami", request).get();
  }

  // As after a reload.
  void Reload(std::shared_ptr<const net::TlsContext> tls) {
    listener_->SetTls(tls);
    server_.CloseDistrusted(
        [tls](const net::Transport& transport) { return transport.VerifyAgain(*tls); });
  }

  std::unique_ptr<Channel> Connect(const std::string& name) {
    auto channel = std::make_unique<Channel>(
        client_pool_.thread(0),
        Channel::Options{.target = {"127.0.0.1", listener_->port()}, .tls = Client(name, "h2")});
    const CallResult answer = BeginCall(*channel, "/t.T/Whoami", "").get();
    EXPECT_EQ(answer.message, name) << answer.status;
    return channel;
  }

  // As alice, whose certificate ends soon; later, if this machine is so slow that it has ended before
  // it is of use.
  std::unique_ptr<Channel> ConnectForSoLong() {
    for (long seconds = 2; seconds <= 16; seconds *= 2) {
      files_.Make("alice", "ca", {.common_name = "alice", .names = "", .valid_until = seconds});
      auto channel = std::make_unique<Channel>(
          client_pool_.thread(0), Channel::Options{.target = {"127.0.0.1", listener_->port()},
                                                   .tls = Client("alice", "h2")});
      if (BeginCall(*channel, "/t.T/Whoami", "").get().message == "alice") return channel;
    }
    ADD_FAILURE() << "nobody came in";
    return nullptr;
  }

  std::shared_ptr<const net::TlsContext> Client(const std::string& name, const std::string& alpn,
                                                const std::string& ca = "ca") {
    auto tls = net::TlsContext::ForClient(files_.Files(name, ca), {alpn});
    EXPECT_TRUE(tls.ok()) << tls.status();
    return *tls;
  }

  net::TestCertificates files_;
  net::IoPool pool_{2};
  net::IoPool client_pool_{1};
  Server server_;
  std::unique_ptr<net::Listener> listener_;
};

TEST_F(ServerTlsTest, KnowsItsClientsByTheirCommonName) {
  Serve("node");
  const CallResult answer = Ask(Client("root", "h2"));
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.message, "root");
}

TEST_F(ServerTlsTest, CarriesLargeMessages) {
  Serve("node");
  const CallResult answer = Ask(Client("root", "h2"), std::string(3 << 20, 'x'));
  EXPECT_EQ(answer.message, "root") << answer.status;
}

TEST_F(ServerTlsTest, RefusesClientsWithoutACertificateOfItsCa) {
  Serve("node");
  // Believes the server, but is itself signed by another.
  const CallResult refused = Ask(Client("stranger", "h2"));
  EXPECT_EQ(refused.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(refused.reached, Reached::kNo) << refused.status;
  EXPECT_TRUE(Until([&] { return listener_->stats().handshakes_failed == 1; }));
  EXPECT_EQ(server_.stats().connections_total, 0u);
  EXPECT_TRUE(Ask(Client("root", "h2")).status.ok());
}

// Goal: a service for everybody has TLS without certificates of clients.
TEST_F(ServerTlsTest, TakesAnyClientWhenToldTo) {
  net::TlsFiles files = files_.Files("node", "");
  files.any_client = true;
  auto tls = net::TlsContext::ForServer(files, {"h2"});
  ASSERT_TRUE(tls.ok()) << tls.status();
  Serve(*tls);
  const auto nobody = net::TlsContext::ForClient({.ca_file = files_.Path("ca.pem")}, {"h2"});
  ASSERT_TRUE(nobody.ok()) << nobody.status();
  for (const auto& client : {*nobody, Client("root", "h2"), Client("stranger", "h2")}) {
    const CallResult answer = Ask(client);
    EXPECT_TRUE(answer.status.ok()) << answer.status;
    EXPECT_EQ(answer.message, "") << "it knows nobody, then";
  }
  // There is nothing of a client that a reload could stop believing.
  Channel channel(client_pool_.thread(0),
                  {.target = {"127.0.0.1", listener_->port()}, .tls = *nobody});
  EXPECT_TRUE(BeginCall(channel, "/t.T/Whoami", "").get().status.ok());
  Reload(*net::TlsContext::ForServer(files, {"h2"}));
  EXPECT_TRUE(BeginCall(channel, "/t.T/Whoami", "").get().status.ok());
  EXPECT_TRUE((*nobody)->Warnings().empty());
}

TEST_F(ServerTlsTest, RefusesClientsWithoutAnyCertificate) {
  Serve("node");
  const auto nobody = net::TlsContext::ForClient({.ca_file = files_.Path("ca.pem")}, {"h2"});
  ASSERT_TRUE(nobody.ok()) << nobody.status();
  EXPECT_EQ(Ask(*nobody).status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Until([&] { return listener_->stats().handshakes_failed == 1; }));
  EXPECT_EQ(server_.stats().connections_total, 0u);
}

TEST_F(ServerTlsTest, RefusesClearText) {
  Serve("node");
  EXPECT_EQ(Ask(nullptr).status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Until([&] { return listener_->stats().handshakes_failed == 1; }));
}

TEST_F(ServerTlsTest, RefusesOtherProtocols) {
  Serve("node");
  EXPECT_FALSE(Ask(Client("root", "http/1.1")).status.ok());
  EXPECT_TRUE(Until([&] { return listener_->stats().handshakes_failed == 1; }));
  EXPECT_EQ(server_.stats().connections_total, 0u);
}

TEST_F(ServerTlsTest, RefusesClientsThatNameNoProtocol) {
  Serve("node");
  auto tls = net::TlsContext::ForClient(files_.Files("root", "ca"), {});
  ASSERT_TRUE(tls.ok()) << tls.status();
  EXPECT_FALSE(Ask(*tls).status.ok());
  EXPECT_TRUE(Until([&] { return listener_->stats().protocols_unknown == 1; }));
  EXPECT_EQ(server_.stats().connections_total, 0u);
}

TEST_F(ServerTlsTest, ChannelRefusesServersOfAnotherNameOrCa) {
  files_.Make("elsewhere", "ca", {.common_name = "elsewhere", .names = "DNS:elsewhere"});
  Serve("elsewhere");
  const CallResult wrong_name = Ask(Client("root", "h2"));
  EXPECT_EQ(wrong_name.status.code(), absl::StatusCode::kUnavailable) << wrong_name.status;
  EXPECT_NE(MessageOf(wrong_name.status).find("IP address mismatch"), std::string_view::npos)
      << wrong_name.status;
  const CallResult wrong_ca = Ask(Client("root", "h2", "other-ca"));
  EXPECT_EQ(wrong_ca.status.code(), absl::StatusCode::kUnavailable) << wrong_ca.status;
  EXPECT_EQ(server_.stats().calls_open, 0u);
}

// Goal: whoever is nobody, or could be several, is not let in.
TEST_F(ServerTlsTest, RefusesClientsWithoutOneSaneName) {
  Serve("node");
  const std::vector<net::TestCertificates::Options> odd = {
      {.common_name = ""},
      {.common_name = "root", .more_common_names = {"alice"}},
      {.common_name = std::string("root\0x", 6)},
      {.common_name = std::string(64 << 10, 'r')},
  };
  for (const net::TestCertificates::Options& options : odd) {
    files_.Make("odd", "ca", options);
    EXPECT_FALSE(Ask(Client("odd", "h2")).status.ok()) << options.common_name.substr(0, 10);
  }
  EXPECT_TRUE(Until([&] { return listener_->stats().handshakes_failed == odd.size(); }));
  EXPECT_EQ(server_.stats().connections_total, 0u);
  EXPECT_EQ(Ask(Client("root", "h2")).message, "root");
}

TEST_F(ServerTlsTest, RefusesClientsThatWereRevoked) {
  files_.Make("alice", "ca", {.common_name = "alice", .names = ""});
  files_.MakeRevocationList("list", "ca", {.revoked = {"alice"}});
  Serve("node", "list");
  EXPECT_FALSE(Ask(Client("alice", "h2")).status.ok());
  EXPECT_EQ(Ask(Client("root", "h2")).message, "root");
}

// Goal: a list that should have been renewed still says who was revoked, and keeps nobody else out.
TEST_F(ServerTlsTest, ALateListCounts) {
  files_.Make("alice", "ca", {.common_name = "alice", .names = ""});
  files_.MakeRevocationList("list", "ca",
                            {.revoked = {"alice"}, .valid_from = -7200, .valid_until = -3600});
  Serve("node", "list");
  EXPECT_FALSE(Ask(Client("alice", "h2")).status.ok());
  EXPECT_EQ(Ask(Client("root", "h2")).message, "root");
}

// Goal:   who is revoked while connected is so no longer, and others do not notice.
// Method: more connections than are looked at in one turn.
TEST_F(ServerTlsTest, EndsOpenConnectionsOfWhoIsRevoked) {
  constexpr size_t kConnections = 40;
  files_.Make("alice", "ca", {.common_name = "alice", .names = ""});
  Serve("node");
  std::vector<std::unique_ptr<Channel>> alices;
  std::vector<std::unique_ptr<Channel>> roots;
  for (size_t i = 0; i < kConnections; ++i) {
    alices.push_back(Connect("alice"));
    roots.push_back(Connect("root"));
  }
  files_.MakeRevocationList("list", "ca", {.revoked = {"alice"}});
  Reload(Context("node", "list"));
  EXPECT_TRUE(Until([&] { return server_.stats().connections_distrusted == kConnections; }));
  for (const auto& channel : alices) {
    EXPECT_FALSE(BeginCall(*channel, "/t.T/Whoami", "").get().status.ok());
  }
  for (const auto& channel : roots) {
    EXPECT_EQ(BeginCall(*channel, "/t.T/Whoami", "").get().message, "root");
  }
  EXPECT_EQ(server_.stats().connections_total, 2 * kConnections);
}

// Goal: who has a certificate no longer has no connection either, and others do not notice.
TEST_F(ServerTlsTest, EndsOpenConnectionsWhoseCertificateHasExpired) {
  Serve("node");
  const auto root = Connect("root");
  const auto alice = ConnectForSoLong();
  EXPECT_TRUE(Until([&] { return server_.stats().connections_distrusted >= 1; }));
  EXPECT_TRUE(Until([&] { return server_.stats().connections_open == 1; }));
  EXPECT_FALSE(BeginCall(*alice, "/t.T/Whoami", "").get().status.ok());
  EXPECT_EQ(BeginCall(*root, "/t.T/Whoami", "").get().message, "root");
}

// Goal:   after a reload it is the newest files that say whether an end is one.
// Method: what asks believes everybody; the certificate that has ended is asked about again.
TEST_F(ServerTlsTest, AsksWhatWasReloadedWhetherAnEndIsOne) {
  Serve("node");
  std::atomic<size_t> asked{0};
  server_.CloseDistrusted([&](const net::Transport&) {
    ++asked;
    return absl::OkStatus();
  });
  const auto alice = ConnectForSoLong();
  const size_t before = asked;
  EXPECT_TRUE(Until([&] { return asked >= before + 2; }));
  EXPECT_EQ(server_.stats().connections_distrusted, 0u);
  EXPECT_EQ(BeginCall(*alice, "/t.T/Whoami", "").get().message, "alice");
}

TEST_F(ServerTlsTest, PresentsTheNewestCertificate) {
  Serve("node");
  const auto before = Connect("root");
  files_.Make("elsewhere", "ca", {.common_name = "elsewhere", .names = "DNS:elsewhere"});
  Reload(Context("elsewhere"));
  const CallResult wrong_name = Ask(Client("root", "h2"));
  EXPECT_NE(MessageOf(wrong_name.status).find("IP address mismatch"), std::string_view::npos)
      << wrong_name.status;
  EXPECT_EQ(BeginCall(*before, "/t.T/Whoami", "").get().message, "root");
  Reload(Context("node"));
  EXPECT_EQ(Ask(Client("root", "h2")).message, "root");
}

}  // namespace
}  // namespace mokv::rpc
