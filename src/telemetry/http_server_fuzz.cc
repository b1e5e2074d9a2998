// Requests as bytes, through the server's own socket: whatever comes, the connection ends, with an
// HTTP response or without one, and the server takes the next.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>

#include "base/check.h"
#include "telemetry/http_server.h"

namespace {

using namespace mokv::telemetry;

// In a row.
constexpr int kConnectsFailedMax = 20;

uint16_t ServerPort() {
  static const MetricsPage* const metrics = new MetricsPage;
  static const auto* const server = [] {
    HttpServerOptions options;
    options.host = "127.0.0.1";
    options.setting_name = "port";
    options.readiness_checks = {{"storage", [] { return absl::OkStatus(); }},
                                {"cluster", [] { return absl::UnavailableError("no leader"); }}};
    auto started = HttpServer::Start(std::move(options), metrics);
    MOKV_CHECK(started.ok());
    return started->release();
  }();
  return server->port();
}

// The whole of 127.0.0.0/8 is loopback. One address's ports would all linger in TIME_WAIT after
// some ten thousand connections.
uint32_t NextClientAddress() {
  static uint32_t connections = 0;
  return INADDR_LOOPBACK + connections++ / 5'000;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(NextClientAddress());
  MOKV_CHECK_EQ(bind(client, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  address.sin_port = htons(ServerPort());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // On a busy machine a connection may find the queue full, and the fuzzer's own timer interrupts
  // the waiting: that says nothing of the server, unless it goes on.
  static int connects_failed = 0;
  if (connect(client, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    close(client);
    MOKV_CHECK_LT(++connects_failed, kConnectsFailedMax);
    return 0;
  }
  connects_failed = 0;
  // What does not fit the sockets, the server did not want to read.
  (void)send(client, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  shutdown(client, SHUT_WR);
  std::string response;
  char buffer[4096];
  for (ssize_t count; (count = recv(client, buffer, sizeof(buffer), 0)) > 0;) {
    response.append(buffer, static_cast<size_t>(count));
  }
  close(client);
  MOKV_CHECK(response.empty() || response.starts_with("HTTP/1."));
  return 0;
}
