// Clients that use TLS itself against a server of ours: each loses its connection, and only that.
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <functional>
#include <optional>
#include <string>

#include "base/status.h"
#include "net/testing/echo_server.h"
#include "net/testing/test_certificates.h"
#include "net/testing/tls_peer.h"
#include "net/testing/wait.h"

namespace mokv::net {
namespace {

// More than anything that is bounded takes.
constexpr int kFlood = 100'000;

// One thread serves all, so that whoever holds it up is noticed.
class TlsAbuseTest : public testing::Test {
 protected:
  TlsAbuseTest() {
    files_.MakeCa("ca");
    files_.Make("node", "ca", {.common_name = "node"});
    files_.Make("alice", "ca", {.common_name = "alice"});
    server_.emplace(Listener::Options{
        .tls = TlsContext::ForServer(files_.Files("node", "ca"), {EchoServer::kAlpn}).value()});
    good_ = Client(TLS1_3_VERSION);
    EXPECT_TRUE(good_->Handshake());
    EXPECT_TRUE(good_->Echoes("x"));
  }

  std::unique_ptr<TlsPeer> Client(int version) {
    return std::make_unique<TlsPeer>(
        TlsPeer::Side::kClient, server_->Connect(),
        TlsPeer::Options{
            .files = files_.Files("alice", "ca"), .alpn = EchoServer::kAlpn, .version = version});
  }

  // How the server ended the connection of whoever did `abuse`, as often as it could.
  std::string EndBy(const std::function<bool(TlsPeer&)>& abuse) {
    const std::unique_ptr<TlsPeer> client = Client(TLS1_3_VERSION);
    EXPECT_TRUE(client->Handshake());
    EXPECT_TRUE(Until([&] { return server_->open() == 2; }));
    for (int i = 0; i < kFlood && abuse(*client); ++i) {
    }
    EXPECT_TRUE(client->socket().WaitForEnd());
    EXPECT_TRUE(Until([&] { return server_->open() == 1; }));
    EXPECT_TRUE(good_->Echoes("good"));
    return std::string(MessageOf(server_->last_end()));
  }
  std::string EndByRecords(unsigned char type, std::string_view content) {
    return EndBy([&](TlsPeer& client) { return client.SendForged(type, content); });
  }

  TestCertificates files_;
  std::optional<EchoServer> server_;
  std::unique_ptr<TlsPeer> good_;
};

TEST_F(TlsAbuseTest, EndsFloodsOfKeyUpdates) {
  EXPECT_EQ(EndBy([](TlsPeer& client) { return client.SendForgedKeyUpdate(); }),
            "TLS read: too many messages of TLS itself");
}

// Goal: no use of the connection in between makes such messages cheaper.
TEST_F(TlsAbuseTest, EndsFloodsOfKeyUpdatesAmongData) {
  EXPECT_EQ(EndBy([](TlsPeer& client) {
              return client.SendForgedKeyUpdate() &&
                     client.SendForged(SSL3_RT_APPLICATION_DATA, "x");
            }),
            "TLS read: too many messages of TLS itself");
}

// Goal: who changes keys now and then, as RFC 8446 wants it after many records, is served.
TEST_F(TlsAbuseTest, AnswersAFewKeyUpdates) {
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(SSL_key_update(good_->ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
    ASSERT_TRUE(good_->Echoes("x")) << i;
  }
}

TEST_F(TlsAbuseTest, EndsFloodsOfEmptyRecords) {
  EXPECT_EQ(EndByRecords(SSL3_RT_APPLICATION_DATA, ""), "TLS read: record too small");
}

TEST_F(TlsAbuseTest, EndsFloodsOfWarnings) {
  const char user_canceled[] = {1, 90};
  EXPECT_EQ(EndByRecords(SSL3_RT_ALERT, {user_canceled, sizeof(user_canceled)}),
            "TLS read: too many warn alerts");
}

TEST_F(TlsAbuseTest, EndsMessagesThatBelongToHandshakes) {
  EXPECT_EQ(EndByRecords(SSL3_RT_HANDSHAKE, std::string_view("\1\0\0\0", 4)),
            "TLS read: unexpected message");
}

TEST_F(TlsAbuseTest, EndsRecordsOfNoKnownType) {
  EXPECT_EQ(EndByRecords(99, "x"), "TLS read: bad record type");
}

TEST_F(TlsAbuseTest, EndsRecordsThatAreNotWhatWasSent) {
  EXPECT_EQ(EndBy([](TlsPeer& client) {
              return client.socket().Send("\x17\x03\x03" + std::string("\0\x20", 2) +
                                          std::string(32, 'x'));
            }),
            "TLS read: decryption failed or bad record mac");
  EXPECT_EQ(EndBy([](TlsPeer& client) {
              return client.socket().Send(std::string("\x14\x03\x03\0\1\1", 6));
            }),
            "TLS read: bad record type");
}

// Goal: TLS 1.2 knows renegotiation, at which HTTP/2 wants the connection to end.
TEST_F(TlsAbuseTest, EndsRenegotiation) {
  const std::unique_ptr<TlsPeer> client = Client(TLS1_2_VERSION);
  ASSERT_TRUE(client->Handshake());
  ASSERT_TRUE(client->Echoes("x"));
  ASSERT_EQ(SSL_renegotiate(client->ssl()), 1);
  EXPECT_FALSE(client->Handshake());
  EXPECT_TRUE(client->socket().WaitForEnd());
  EXPECT_TRUE(Until([&] { return server_->open() == 1; }));
  EXPECT_EQ(MessageOf(server_->last_end()), "TLS read: renegotiation");
  EXPECT_TRUE(good_->Echoes("good"));
}

// Goal: nothing that is sent instead of a ClientHello does harm, or is kept for long.
TEST_F(TlsAbuseTest, EndsWhatIsNoHandshake) {
  const auto repeated = [](std::string_view record) {
    std::string flood;
    while (flood.size() < (1 << 20)) flood += record;
    return flood;
  };
  const std::string hello_header("\x16\x03\x01\x00\x04", 5);
  const std::vector<std::string> garbage = {
      "GET / HTTP/1.1\r\n\r\n",
      std::string(100, '\0'),
      std::string(100, '\xff'),
      // SSL 2, SSL 3 and a version yet to come.
      std::string("\x80\x2e\x01\x00\x02", 5) + std::string(100, 'x'),
      std::string("\x16\x03\x00\x00\x04\x01\x00\x00\x00", 9),
      std::string("\x16\x09\x01\x00\x04\x01\x00\x00\x00", 9),
      // A record longer than any, and a message longer than any.
      std::string("\x16\x03\x01\xff\xff", 5) + std::string(100, 'x'),
      hello_header + "\x01\xff\xff\xff" + repeated(std::string("\x16\x03\x01\x00\x01x", 6)),
      // An empty ClientHello, and one whose parts are longer than it.
      hello_header + std::string("\x01\x00\x00\x00", 4),
      std::string("\x16\x03\x01\x00\x2b\x01\x00\x00\x27\x03\x03", 11) + std::string(37, '\xff'),
      // Another message, and records of other types.
      hello_header + std::string("\x0e\x00\x00\x00", 4),
      repeated(std::string("\x17\x03\x01\x00\x01x", 6)),
      repeated(std::string("\x14\x03\x01\x00\x01\x01", 6)),
      // Floods of what is allowed once.
      repeated(std::string("\x16\x03\x01\x00\x00", 5)),
      repeated(std::string("\x15\x03\x01\x00\x02\x01\x5a", 7)),
  };
  for (size_t i = 0; i < garbage.size(); ++i) {
    RawSocket client = server_->Connect();
    client.Send(garbage[i]);
    EXPECT_TRUE(client.WaitForEnd()) << "garbage " << i;
    EXPECT_TRUE(Until([&] { return server_->stats().handshakes_failed == i + 1; }))
        << "garbage " << i;
    EXPECT_TRUE(good_->Echoes("good"));
  }
}

}  // namespace
}  // namespace mokv::net
