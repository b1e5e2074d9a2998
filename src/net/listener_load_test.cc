// The listener when there are many connections: who gets in, and on which thread.
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/testing/echo_server.h"
#include "net/testing/test_certificates.h"
#include "net/testing/tls_peer.h"
#include "net/testing/wait.h"

namespace mokv::net {
namespace {

// As long as a test.
constexpr Duration kNever = std::chrono::hours(1);

bool HasEnded(const RawSocket& client) {
  char byte;
  const ssize_t size = recv(client.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return size == 0 || (size < 0 && errno == ECONNRESET);
}

class ListenerLoadTest : public testing::Test {
 protected:
  ListenerLoadTest() {
    files_.MakeCa("ca");
    files_.Make("node", "ca", {.common_name = "node"});
    files_.Make("alice", "ca", {.common_name = "alice"});
  }

  std::shared_ptr<const TlsContext> Tls() {
    return TlsContext::ForServer(files_.Files("node", "ca"), {EchoServer::kAlpn}).value();
  }

  // A connection in clear that is served; nothing if it is refused.
  std::optional<RawSocket> Open() {
    RawSocket client = server_->Connect();
    std::string echo;
    client.Send(EchoServer::kClearPrefix);
    while (echo.size() < std::string_view(EchoServer::kClearPrefix).size()) {
      if (!client.Receive(echo)) return std::nullopt;
    }
    return client;
  }

  std::unique_ptr<TlsPeer> OpenTls() {
    auto client = std::make_unique<TlsPeer>(
        TlsPeer::Side::kClient, server_->Connect(),
        TlsPeer::Options{.files = files_.Files("alice", "ca"), .alpn = EchoServer::kAlpn});
    if (!client->Handshake() || !client->Echoes("x")) return nullptr;
    return client;
  }

  // What a stock client sends first.
  std::string ClientHello() {
    TlsPeer client(TlsPeer::Side::kClient, RawSocket(),
                   {.files = files_.Files("alice", "ca"), .alpn = EchoServer::kAlpn});
    BIO* sent = BIO_new(BIO_s_mem());
    SSL_set0_wbio(client.ssl(), sent);
    SSL_set0_rbio(client.ssl(), BIO_new(BIO_s_mem()));
    SSL_do_handshake(client.ssl());
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(sent, &bytes);
    return {bytes, static_cast<size_t>(size)};
  }

  TestCertificates files_;
  std::optional<EchoServer> server_;
};

TEST_F(ListenerLoadTest, RefusesConnectionsOverItsLimitUntilOthersEnd) {
  server_.emplace(Listener::Options{.connections_max = 2}, 2);
  std::vector<RawSocket> open;
  for (int i = 0; i < 2; ++i) open.push_back(Open().value());
  EXPECT_FALSE(Open().has_value());
  EXPECT_EQ(server_->stats().refused_full, 1u);
  open.clear();
  EXPECT_TRUE(Until([&] { return Open().has_value(); }));
}

// Goal: who was let in as one of many whose protocol is not known yet is counted once it is.
TEST_F(ListenerLoadTest, CountsThoseThatCameTogether) {
  server_.emplace(Listener::Options{.connections_max = 2}, 2);
  std::vector<RawSocket> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(server_->Connect());
  size_t served = 0;
  for (RawSocket& client : clients) {
    client.Send(EchoServer::kClearPrefix);
    std::string echo;
    if (client.Receive(echo)) ++served;
  }
  EXPECT_EQ(served, 2u);
  EXPECT_EQ(server_->open(), 2u);
  EXPECT_EQ(server_->stats().refused_full, 3u);
}

// Goal:   however many connect and say nothing, others get in.
// Method: ten times as many as there may be of either kind, for ever; then good clients, as many as
//         there may be.
TEST_F(ListenerLoadTest, SilentConnectionsTakeNobodysPlace) {
  server_.emplace(
      Listener::Options{
          .tls = Tls(), .connections_max = 4, .handshakes_max = 8, .handshake_timeout = kNever},
      2);
  const std::string hello = ClientHello();
  std::vector<RawSocket> silent;
  for (size_t i = 0; i < 80; ++i) {
    silent.push_back(server_->Connect());
    // Some have said a part.
    silent.back().Send(std::string_view(hello).substr(0, i % 3 * 100));
  }
  std::vector<std::unique_ptr<TlsPeer>> good;
  for (int i = 0; i < 4; ++i) good.push_back(OpenTls());
  for (const auto& client : good) ASSERT_NE(client, nullptr);
  EXPECT_EQ(server_->open(), 4u);
  // Others have made room, and do not wait in vain.
  EXPECT_TRUE(Until([&] { return std::count_if(silent.begin(), silent.end(), HasEnded) >= 72; }));
  EXPECT_GE(server_->stats().handshakes_crowded_out, 72u);
  EXPECT_LE(server_->stats().handshakes_crowded_out, 76u);
  EXPECT_EQ(server_->stats().handshakes_timed_out, 0u);
}

TEST_F(ListenerLoadTest, TakesAClientHelloByteByByte) {
  server_.emplace(Listener::Options{.tls = Tls(), .handshake_timeout = kNever});
  RawSocket slow = server_->Connect();
  const std::string hello = ClientHello();
  for (const char& byte : hello) slow.Send({&byte, 1});
  std::string answer;
  EXPECT_TRUE(slow.Receive(answer));
  EXPECT_EQ(answer.substr(0, 2), "\x16\x03") << "a ServerHello";
}

// Goal: bytes that trickle in do not make anybody's time longer.
TEST_F(ListenerLoadTest, EndsAClientHelloThatTakesTooLong) {
  server_.emplace(
      Listener::Options{.tls = Tls(), .handshake_timeout = std::chrono::milliseconds(100)});
  RawSocket slow = server_->Connect();
  const std::string hello = ClientHello();
  size_t sent = 0;
  // All but the end; the last of it again and again would be garbage.
  EXPECT_TRUE(Until([&] {
    if (sent + 1 < hello.size()) slow.Send({&hello[sent++], 1});
    return server_->stats().handshakes_timed_out == 1;
  }));
  EXPECT_TRUE(slow.WaitForEnd());
}

// Goal: threads have about as many connections each, however these end.
TEST_F(ListenerLoadTest, GivesTheNextConnectionToTheThreadWithTheFewest) {
  server_.emplace(Listener::Options{}, 2);
  std::vector<RawSocket> clients;
  for (int i = 0; i < 8; ++i) clients.push_back(Open().value());
  EXPECT_EQ(server_->open_on(0), 4u);
  EXPECT_EQ(server_->open_on(1), 4u);
  // All of one thread.
  for (size_t i = 1; i < clients.size(); i += 2) clients[i].Close();
  ASSERT_TRUE(Until([&] { return server_->open() == 4; }));
  ASSERT_EQ(server_->open_on(0), 4u);
  for (int i = 0; i < 4; ++i) clients.push_back(Open().value());
  EXPECT_EQ(server_->open_on(0), 4u);
  EXPECT_EQ(server_->open_on(1), 4u);
  for (int i = 0; i < 2; ++i) clients.push_back(Open().value());
  EXPECT_EQ(server_->open_on(0), 5u);
  EXPECT_EQ(server_->open_on(1), 5u);
}

// Goal: what has moved to another thread is no work for the one that accepted it.
TEST_F(ListenerLoadTest, WhatHasMovedAwayDoesNotCount) {
  IoPool pool(2);
  IoPool elsewhere(1);
  std::atomic<size_t> accepted{0};
  std::atomic<size_t> accepted_by{0};
  std::vector<std::unique_ptr<Transport>> moved;  // On the other thread.
  std::vector<std::unique_ptr<Transport>> stayed;
  const auto accept = [&](bool moves) {
    return [&, moves](std::unique_ptr<Transport> transport, std::string_view) {
      accepted_by = transport->thread().index();
      if (!moves) {
        stayed.push_back(std::move(transport));
        ++accepted;
        return;
      }
      Transport::MoveTo(std::move(transport), elsewhere.thread(0),
                        [&](std::unique_ptr<Transport> arrived) {
                          moved.push_back(std::move(arrived));
                          ++accepted;
                        });
    };
  };
  const auto listener =
      BindLoopback(pool, {.alpn = "stay", .clear_prefix = "stay", .accept = accept(false)});
  listener->AddProtocol({.alpn = "move", .clear_prefix = "move", .accept = accept(true)});
  pool.Start();
  elsewhere.Start();
  listener->Start();
  std::vector<RawSocket> clients;
  std::string threads;
  for (const char* prefix : {"move", "stay", "move", "stay"}) {
    const size_t before = accepted;
    clients.emplace_back(listener->port()).Send(prefix);
    ASSERT_TRUE(Until([&] { return accepted == before + 1; }));
    threads += std::to_string(accepted_by);
  }
  EXPECT_EQ(threads, "0100");
  listener->Stop();
  pool.Stop();
  elsewhere.Stop();
}

}  // namespace
}  // namespace mokv::net
