// HttpServer: metrics and health over HTTP/1.1, in clear: /metrics, /livez and /readyz.
//
// Threads: serves on kThreads threads of its own, started by Start and joined by the destructor,
//          which waits for no client. Metrics callbacks and readiness checks run on those threads.
// Owner:   node/ holds it, and destroys it before anything that its checks and metrics read.
// Bounds:  kThreads connections at a time, each for one request, and kConnectionsWaitingMax more
//          waiting; kRequestBytesMax of request line and headers; kRequestTimeout for a client to
//          send them, and again to take its response. Bodies are not read.
// Errors:  Start names the address that it could not bind. No request can end the process.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "telemetry/exposition.h"

namespace mokv::telemetry {

// Called for each /readyz, on an HTTP thread and possibly on several at once. Must not block.
struct ReadinessCheck {
  std::string name;
  std::function<absl::Status()> check;
  // A failure is shown, but the node stays ready: requests need not go elsewhere.
  bool only_tells = false;
};

struct HttpServerOptions {
  std::string host;          // Name or address to listen on, IPv6 without brackets.
  uint16_t port = 0;         // 0: the system picks a free one, see HttpServer::port.
  std::string setting_name;  // What the port is called in the configuration; for error texts.
  std::vector<ReadinessCheck> readiness_checks;
};

class HttpServer {
 public:
  static constexpr int kThreads = 4;  // A scraper, a probe, a person, and one to spare.
  // They wait in the kernel's queue. A client beyond that tries again by itself, after a second or
  // more.
  static constexpr int kConnectionsWaitingMax = 32;
  static constexpr int kRequestBytesMax = 8192;
  static constexpr std::chrono::milliseconds kRequestTimeout{5000};

  // `metrics` is borrowed and must outlive the server.
  //   GET /metrics  what `metrics` renders
  //   GET /livez    200 while this process can answer
  //   GET /readyz   200 when every check is OK, else 503 and the failed ones; `?verbose` prints
  //                 one line a check, `?exclude=NAME` (repeatable) leaves a check out
  // HEAD answers as GET without the body; other methods get 405, other paths 404.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(HttpServerOptions options,
                                                           const MetricsPage* metrics);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // The port that it listens on.
  uint16_t port() const;

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mokv::telemetry
