// Server and channel over mutual TLS: who gets in, and as whom.
#include <gtest/gtest.h>

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

  void Serve(const std::string& certificate) {
    auto tls = net::TlsContext::ForServer(files_.Files(certificate, "ca"), {"h2"});
    ASSERT_TRUE(tls.ok()) << tls.status();
    listener_ = net::BindLoopback(pool_, server_.protocol(), {.tls = *tls});
    pool_.Start();
    client_pool_.Start();
    listener_->Start();
  }

  CallResult Ask(std::shared_ptr<const net::TlsContext> tls, const std::string& request = "") {
    Channel channel(client_pool_.thread(0),
                    {.target = {"127.0.0.1", listener_->port()}, .tls = std::move(tls)});
    return BeginCall(channel, "/t.T/Whoami", request).get();
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
  EXPECT_NE(MessageOf(wrong_name.status).find("certificate verify failed"), std::string_view::npos)
      << wrong_name.status;
  const CallResult wrong_ca = Ask(Client("root", "h2", "other-ca"));
  EXPECT_EQ(wrong_ca.status.code(), absl::StatusCode::kUnavailable) << wrong_ca.status;
  EXPECT_EQ(server_.stats().calls_open, 0u);
}

}  // namespace
}  // namespace mokv::rpc
