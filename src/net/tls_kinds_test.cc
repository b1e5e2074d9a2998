// Keys, chains and versions of every kind, between us and a stock OpenSSL, and between two of us.
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "net/testing/echo_server.h"
#include "net/testing/our_client.h"
#include "net/testing/raw_socket.h"
#include "net/testing/test_certificates.h"
#include "net/testing/tls_peer.h"
#include "net/testing/wait.h"

namespace mokv::net {
namespace {

using Key = TestCertificates::Key;

const std::map<std::string, Key> kKinds = {{"p256", Key::kP256},
                                           {"ed25519", Key::kEd25519},
                                           {"rsa2048", Key::kRsa2048},
                                           {"rsa4096", Key::kRsa4096}};

// For each kind of key an authority, one below it, and certificates by either of them. All authorities
// are in one bundle.
class TlsKindsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    files_ = new TestCertificates();
    std::string bundle;
    for (const auto& [kind, key] : kKinds) {
      files_->MakeCa(kind + "-ca", {.common_name = kind + "-ca", .key = key});
      files_->MakeCa(kind + "-middle",
                     {.common_name = kind + "-middle", .signed_by = kind + "-ca", .key = key});
      bundle += files_->ReadText(kind + "-ca.pem");
      for (const std::string& signer : {kind + "-ca", kind + "-middle"}) {
        const std::string name = signer + "-leaf";
        files_->Make(name, signer, {.common_name = name, .key = key});
        if (signer == kind + "-ca") continue;
        files_->WriteText(name + ".pem",
                          files_->ReadText(name + ".pem") + files_->ReadText(signer + ".pem"));
      }
    }
    files_->WriteText("bundle.pem", bundle);
  }
  static void TearDownTestSuite() { delete files_; }

  static std::vector<std::string> Leaves() {
    std::vector<std::string> leaves;
    for (const auto& [kind, key] : kKinds) {
      leaves.push_back(kind + "-ca-leaf");
      leaves.push_back(kind + "-middle-leaf");
    }
    return leaves;
  }
  static TlsFiles Files(const std::string& leaf) { return files_->Files(leaf, "bundle"); }
  static std::shared_ptr<const TlsContext> Server(const std::string& leaf) {
    return TlsContext::ForServer(Files(leaf), {EchoServer::kAlpn}).value();
  }
  static std::shared_ptr<const TlsContext> Client(const std::string& leaf) {
    return TlsContext::ForClient(Files(leaf), {EchoServer::kAlpn}).value();
  }

  static TestCertificates* files_;
};

TestCertificates* TlsKindsTest::files_ = nullptr;

TEST_F(TlsKindsTest, OurServerTakesStockClients) {
  for (const std::string& own : Leaves()) {
    EchoServer server({.tls = Server(own)});
    for (const std::string& theirs : Leaves()) {
      for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        SCOPED_TRACE(own + " and " + theirs + " by " + std::to_string(version));
        TlsPeer client(TlsPeer::Side::kClient, server.Connect(),
                       {.files = Files(theirs), .alpn = EchoServer::kAlpn, .version = version});
        EXPECT_TRUE(client.Handshake());
        EXPECT_TRUE(client.Echoes("x"));
        EXPECT_EQ(SSL_version(client.ssl()), version);
        EXPECT_EQ(PeerCommonName(client.ssl()), own);
        std::string name;
        server.WithTransports([&](Transport& transport) { name = transport.peer_name(); });
        EXPECT_EQ(name, theirs);
        SSL_shutdown(client.ssl());
        client.socket().Close();
        EXPECT_TRUE(Until([&] { return server.open() == 0; }));
      }
    }
  }
}

TEST_F(TlsKindsTest, OurClientTakesStockServers) {
  OurClient client;
  for (const std::string& theirs : Leaves()) {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      for (const std::string& own :
           {std::string("p256-middle-leaf"), std::string("rsa2048-middle-leaf")}) {
        SCOPED_TRACE(own + " and " + theirs + " by " + std::to_string(version));
        RawListener listener;
        std::thread serving([&] {
          TlsPeer server(TlsPeer::Side::kServer, listener.Accept(),
                         {.files = Files(theirs), .alpn = EchoServer::kAlpn, .version = version});
          EXPECT_TRUE(server.Handshake());
          EXPECT_EQ(PeerCommonName(server.ssl()), own);
          std::string bytes;
          EXPECT_TRUE(server.Receive(bytes));
          EXPECT_TRUE(server.Send(bytes));
          EXPECT_TRUE(server.WaitForEnd());
        });
        const absl::Status status = client.Echo(listener.port(), Client(own));
        EXPECT_TRUE(status.ok()) << status;
        serving.join();
      }
    }
  }
}

TEST_F(TlsKindsTest, OurClientTakesOurServer) {
  OurClient client;
  for (const std::string& theirs : Leaves()) {
    EchoServer server({.tls = Server(theirs)});
    for (const std::string& own : Leaves()) {
      const absl::Status status = client.Echo(server.listener().port(), Client(own));
      EXPECT_TRUE(status.ok()) << own << " and " << theirs << ": " << status;
    }
  }
}

// Goal: a chain that lacks its middle is not believed, whoever is asked.
TEST_F(TlsKindsTest, AChainWithoutItsMiddleIsNotBelieved) {
  files_->Make("bare", "p256-middle", {.common_name = "bare"});
  OurClient client;
  EchoServer server({.tls = Server("p256-ca-leaf")});
  const absl::Status refused = client.Echo(server.listener().port(), Client("bare"));
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << refused;
  EXPECT_TRUE(client.Echo(server.listener().port(), Client("p256-ca-leaf")).ok());
  EchoServer bare({.tls = Server("bare")});
  const absl::Status refusing = client.Echo(bare.listener().port(), Client("p256-ca-leaf"));
  EXPECT_EQ(
      MessageOf(refusing),
      "TLS handshake: its certificate is not accepted: unable to get local issuer certificate");
}

TEST_F(TlsKindsTest, AServerHasTheNameThatIsExpectedOfIt) {
  OurClient client;
  EchoServer server({.tls = Server("p256-ca-leaf")});
  const auto error = [&](const std::string& host) {
    return std::string(
        MessageOf(client.Echo(server.listener().port(), Client("p256-ca-leaf"), host)));
  };
  EXPECT_EQ(error("localhost"), "");
  EXPECT_EQ(error("127.0.0.1"), "");
  EXPECT_EQ(error("elsewhere"),
            "TLS handshake: its certificate is not accepted: hostname mismatch");
  EXPECT_EQ(error("127.0.0.2"),
            "TLS handshake: its certificate is not accepted: IP address mismatch");
  // What cannot be asked for is not left out.
  EXPECT_EQ(error(""), "no server can be named \"\"");
  EXPECT_EQ(error(std::string(256, 'x')),
            "no server can be named \"" + std::string(256, 'x') + "\"");
}

}  // namespace
}  // namespace mokv::net
