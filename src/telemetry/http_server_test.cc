#include "telemetry/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "net/testing/raw_socket.h"

namespace mokv::telemetry {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// A TCP connection to this machine on which bytes are written and read to their end.
class RawClient {
 public:
  explicit RawClient(uint16_t port, int family = AF_INET)
      : fd_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (family == AF_INET6) {
      sockaddr_in6 address{};
      address.sin6_family = AF_INET6;
      address.sin6_port = htons(port);
      address.sin6_addr = in6addr_loopback;
      connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    } else {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(port);
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    }
  }
  ~RawClient() { close(fd_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return connected_; }
  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;  // The server may refuse early; what it says is read afterwards.
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  bool ReceivesOneByte() {
    char byte = 0;
    return recv(fd_, &byte, 1, 0) == 1;
  }
  std::string ReceiveAll() {
    std::string all;
    char buffer[4096];
    for (ssize_t n = 0; (n = recv(fd_, buffer, sizeof(buffer), 0)) > 0;) {
      all.append(buffer, static_cast<size_t>(n));
    }
    return all;
  }

 private:
  int fd_;
  bool connected_ = false;
};

// Machines exist whose kernel or container has no IPv6.
bool HasIpv6() {
  const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  const bool has_it =
      fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  if (fd >= 0) close(fd);
  return has_it;
}

class HttpServerTest : public ::testing::Test {
 protected:
  void StartServer(std::vector<ReadinessCheck> checks = {}) {
    page_.Register(
        [](MetricsWriter& writer) { writer.Gauge("mokv_keys", "Keys in the store.", 42); });
    auto server = HttpServer::Start(Options(0, std::move(checks)), &page_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ASSERT_NE(server_->port(), 0);
  }

  static HttpServerOptions Options(uint16_t port, std::vector<ReadinessCheck> checks = {}) {
    return {.host = "127.0.0.1",
            .port = port,
            .setting_name = "metrics-port",
            .readiness_checks = std::move(checks)};
  }

  std::string Ask(std::string_view bytes) {
    RawClient client(server_->port());
    EXPECT_TRUE(client.connected());
    client.Send(bytes);
    return client.ReceiveAll();
  }
  std::string Get(std::string_view target, std::string_view method = "GET") {
    return Ask(fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\n\r\n", method, target));
  }
  static constexpr int kLargeMebibytes = 32;
  // A metrics page too large for the buffers of any socket.
  void StartLargeServer() {
    page_.Register([](MetricsWriter& writer) {
      const std::string help(1 << 20, 'x');
      for (int i = 0; i < kLargeMebibytes; ++i)
        writer.Gauge(fmt::format("mokv_large_{}", i), help, 1);
    });
    StartServer();
  }
  // Far less than what a client may take to send or to receive.
  void ExpectPromptStop() {
    const MonotonicTime begin = SystemClock().Now();
    server_.reset();
    EXPECT_LT(SystemClock().Now() - begin, HttpServer::kRequestTimeout / 2);
  }

  MetricsPage page_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, ServesMetrics) {
  StartServer();
  const std::string answer = Get("/metrics");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(answer, EndsWith("\nmokv_keys 42\n"));
}

TEST_F(HttpServerTest, AnswersHeadWithoutBody) {
  StartServer();
  const std::string answer = Get("/metrics", "HEAD");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("Content-Length: 0\r\n")));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n"));
}

TEST_F(HttpServerTest, IsAlive) {
  StartServer({{"leader", [] { return Unavailable("none"); }}});
  EXPECT_THAT(Get("/livez"), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(Get("/livez?verbose"), HasSubstr("[+]process ok\n"));
}

TEST_F(HttpServerTest, IsReadyWhenEveryCheckIs) {
  std::atomic<bool> has_leader{false};
  StartServer({{"store", [] { return absl::OkStatus(); }}, {"leader", [&]() -> absl::Status {
                                                              if (has_leader)
                                                                return absl::OkStatus();
                                                              return Unavailable(
                                                                  "no leader\nfor {} s", 3);
                                                            }}});
  std::string answer = Get("/readyz");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n[-]leader failed: no leader for 3 s\n"
                               "readyz check failed\n"));
  answer = Get("/readyz?verbose");
  EXPECT_THAT(answer, EndsWith("\r\n\r\n[+]store ok\n[-]leader failed: no leader for 3 s\n"
                               "readyz check failed\n"));
  answer = Get("/readyz?exclude=none&exclude=le%61der&verbose=1");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, EndsWith("[+]store ok\n[+]leader excluded: ok\nreadyz check passed\n"));
  has_leader = true;
  EXPECT_THAT(Get("/readyz"), EndsWith("\r\n\r\nok\n"));
  EXPECT_THAT(Get("/readyz?verbose"), HasSubstr("[+]leader ok\n"));
}

TEST_F(HttpServerTest, KnowsNothingElse) {
  StartServer();
  for (const char* target : {"/", "/metrics/", "/etc/passwd", "/../../etc/passwd", "/livez/x"}) {
    EXPECT_THAT(Get(target), StartsWith("HTTP/1.1 404 Not Found\r\n")) << target;
  }
}

TEST_F(HttpServerTest, RefusesOtherMethods) {
  StartServer();
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH"}) {
    const std::string answer = Get("/metrics", method);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 Method Not Allowed\r\n")) << method;
    EXPECT_THAT(answer, HasSubstr("Allow: GET, HEAD\r\n")) << method;
  }
}

TEST_F(HttpServerTest, SurvivesBadRequests) {
  StartServer();
  Ask("garbage\r\n\r\n");
  Ask(std::string("\x16\x03\x01\x00\x00\x00\r\n\r\n", 10));
  EXPECT_THAT(Ask("BREW /metrics HTTP/1.1\r\nHost: a\r\n\r\n"), Not(HasSubstr("200 OK")));
  const std::string oversize(2 * HttpServer::kRequestBytesMax, 'a');
  EXPECT_THAT(Get("/metrics?" + oversize), Not(HasSubstr("200 OK")));
  EXPECT_THAT(Get("/metrics"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(HttpServerTest, DoesNotReadBodies) {
  StartServer();
  const std::string answer =
      Ask("GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nabc");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
}

// Whatever is unread when the server closes must not cost the client its answer.
TEST_F(HttpServerTest, AnswersBesideABody) {
  StartServer();
  const std::string answer =
      Ask("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" +
          std::string(1'000'000, 'b'));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 Method Not Allowed\r\n"));
  EXPECT_THAT(answer, EndsWith("method not allowed\n"));
}

TEST_F(HttpServerTest, TakesARequestInPieces) {
  StartServer();
  RawClient client(server_->port());
  for (const char* piece : {"GE", "T /livez?verb", "ose HTTP/1.1\r", "\nHost: a\r\n", "\r", "\n"}) {
    client.Send(piece);
  }
  EXPECT_THAT(client.ReceiveAll(), EndsWith("\r\n\r\n[+]process ok\nlivez check passed\n"));
}

TEST_F(HttpServerTest, SendsLargePages) {
  StartLargeServer();
  const std::string answer = Get("/metrics");
  EXPECT_GT(answer.size(), size_t{kLargeMebibytes} << 20);
  EXPECT_TRUE(answer.ends_with("\nmokv_large_9 1\n")) << answer.substr(answer.size() - 100);
}

// Optional parts of HTTP that would cost us more than they give.
TEST_F(HttpServerTest, IgnoresOptions) {
  StartServer();
  const std::string plain = Get("/metrics");
  for (const std::string& header :
       {std::string("range: bytes=0-3"), "Range: bytes=" + std::string(8000, '0'),
        std::string("Range: nonsense"), std::string("Accept-Encoding: br, gzip"),
        std::string("Expect: 100-continue")}) {
    EXPECT_EQ(Ask("GET /metrics HTTP/1.1\r\nHost: a\r\n" + header + "\r\n\r\n"), plain) << header;
  }
}

TEST_F(HttpServerTest, LeavesSignalsAlone) {
  struct sigaction before {};
  ASSERT_EQ(sigaction(SIGPIPE, nullptr, &before), 0);
  StartServer();
  struct sigaction after {};
  ASSERT_EQ(sigaction(SIGPIPE, nullptr, &after), 0);
  EXPECT_EQ(before.sa_handler, SIG_DFL);
  EXPECT_EQ(after.sa_handler, SIG_DFL);
  // A client that closes at once is an error code, no signal.
  for (int i = 0; i < 20; ++i) RawClient(server_->port()).Send("GET /metrics HTTP/1.1\r\n\r\n");
  EXPECT_THAT(Get("/metrics"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(HttpServerTest, FreesThePortWhenItStops) {
  const net::ReservedPort reserved;
  for (int i = 0; i < 2; ++i) {
    const auto server = HttpServer::Start(Options(reserved.port()), &page_);
    ASSERT_TRUE(server.ok()) << server.status();
    EXPECT_TRUE(RawClient(reserved.port()).connected());
  }
  EXPECT_FALSE(RawClient(reserved.port()).connected());
}

// A client that sends half a request and waits must not keep the node from stopping.
TEST_F(HttpServerTest, StopsBesideASlowClient) {
  StartServer();
  RawClient slow(server_->port());
  slow.Send("GET /metrics HT");
  Get("/livez");  // By now the slow one has a thread of its own.
  ExpectPromptStop();
  EXPECT_EQ(slow.ReceiveAll(), "");
}

TEST_F(HttpServerTest, StopsBesideAnIdleClient) {
  StartServer();
  RawClient idle(server_->port());
  Get("/livez");
  ExpectPromptStop();
  EXPECT_EQ(idle.ReceiveAll(), "");
}

TEST_F(HttpServerTest, StopsBesideMoreClientsThanThreads) {
  StartServer();
  std::vector<std::unique_ptr<RawClient>> idle;
  for (int i = 0; i < 2 * HttpServer::kThreads; ++i) {
    idle.push_back(std::make_unique<RawClient>(server_->port()));
    EXPECT_TRUE(idle.back()->connected());
  }
  ExpectPromptStop();
  for (const auto& client : idle) EXPECT_EQ(client->ReceiveAll(), "");
}

TEST_F(HttpServerTest, StopsBesideAClientThatTakesNothing) {
  StartLargeServer();
  RawClient client(server_->port());
  client.Send("GET /metrics HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(client.ReceivesOneByte());  // It is writing.
  ExpectPromptStop();
}

// It closes first, but this one does not follow.
TEST_F(HttpServerTest, StopsBesideAClientThatHasItsAnswer) {
  StartServer();
  RawClient client(server_->port());
  client.Send("GET /livez HTTP/1.1\r\n\r\n");
  EXPECT_THAT(client.ReceiveAll(), EndsWith("ok\n"));
  ExpectPromptStop();
}

// Clients that connect and say nothing hold every thread, but not for long.
TEST_F(HttpServerTest, DropsIdleClients) {
  StartServer();
  std::vector<std::unique_ptr<RawClient>> idle;
  for (int i = 0; i < HttpServer::kThreads; ++i) {
    idle.push_back(std::make_unique<RawClient>(server_->port()));
  }
  EXPECT_THAT(Get("/livez"), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(idle.front()->ReceiveAll(), "");
}

TEST_F(HttpServerTest, NamesAnAddressInUse) {
  StartServer();
  const uint16_t port = server_->port();
  const auto second = HttpServer::Start(Options(port), &page_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(MessageOf(second.status()),
            fmt::format("metrics-port {0}: address 127.0.0.1:{0} is already in use", port));
}

TEST_F(HttpServerTest, NamesAnAddressThatIsNotOurs) {
  HttpServerOptions options = Options(4000);
  options.host = "192.0.2.1";  // Reserved for documentation (RFC 5737).
  auto server = HttpServer::Start(options, &page_);
  ASSERT_FALSE(server.ok());
  EXPECT_EQ(MessageOf(server.status()),
            "metrics-port 4000: address 192.0.2.1:4000 is not an address of this machine");
  options.host = "no such host";
  server = HttpServer::Start(options, &page_);
  ASSERT_FALSE(server.ok());
  EXPECT_THAT(std::string(MessageOf(server.status())),
              StartsWith("metrics-port 4000: address no such host:4000: "));
}

TEST_F(HttpServerTest, TakesNames) {
  HttpServerOptions options = Options(0);
  options.host = "localhost";
  const auto server = HttpServer::Start(options, &page_);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_TRUE(RawClient((*server)->port()).connected());
}

TEST_F(HttpServerTest, ServesIpv6) {
  if (!HasIpv6()) GTEST_SKIP() << "no ::1 on this machine";
  const net::ReservedPort reserved;  // Nobody else's of IPv4.
  const uint16_t port = reserved.port();
  HttpServerOptions options = Options(port);
  options.host = "::1";
  const auto server = HttpServer::Start(options, &page_);
  ASSERT_TRUE(server.ok()) << server.status();
  RawClient client(port, AF_INET6);
  ASSERT_TRUE(client.connected());
  client.Send("GET /livez HTTP/1.1\r\nHost: [::1]\r\n\r\n");
  EXPECT_THAT(client.ReceiveAll(), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_FALSE(RawClient(port, AF_INET).connected());

  const auto second = HttpServer::Start(options, &page_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(MessageOf(second.status()),
            fmt::format("metrics-port {0}: address [::1]:{0} is already in use", port));
}

TEST_F(HttpServerTest, AnswersManyAtTheSameTime) {
  StartServer();
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 20; ++j) {
        if (Get("/metrics").starts_with("HTTP/1.1 200")) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 160);
}

}  // namespace
}  // namespace mokv::telemetry
