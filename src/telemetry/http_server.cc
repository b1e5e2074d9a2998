#include "telemetry/http_server.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/mutex.h"
#include "base/status.h"

namespace mokv::telemetry {
namespace {

constexpr std::string_view kPlainText = "text/plain; charset=utf-8";
// More than anyone excludes; a longer query is cut there.
constexpr size_t kExcludesMax = 32;

struct Response {
  int code = 200;
  std::string_view reason = "OK";
  std::string_view content_type = kPlainText;
  std::string body = {};
  std::string_view extra_headers = {};  // Each with its line end.
};

// What `?verbose` and `?exclude=` asked for.
struct HealthQuery {
  bool verbose = false;
  std::vector<std::string> excluded;

  bool Excludes(std::string_view name) const {
    return std::find(excluded.begin(), excluded.end(), name) != excluded.end();
  }
};

HealthQuery ParseHealthQuery(std::string_view query) {
  HealthQuery result;
  while (!query.empty()) {
    const std::string_view parameter = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), parameter.size() + 1));
    const size_t equals = parameter.find('=');
    const std::string_view name = parameter.substr(0, equals);
    if (name == "verbose") result.verbose = true;
    if (name != "exclude" || equals == std::string_view::npos) continue;
    if (result.excluded.size() == kExcludesMax) continue;
    const std::string_view value = parameter.substr(equals + 1);
    std::string decoded(value.size() + 1, '\0');
    const int size = mg_url_decode(value.data(), static_cast<int>(value.size()), decoded.data(),
                                   static_cast<int>(decoded.size()), 1);
    if (size < 0) continue;
    decoded.resize(static_cast<size_t>(size));
    result.excluded.push_back(std::move(decoded));
  }
  return result;
}

// A status message on one line, whatever it holds.
std::string OneLine(std::string_view text) {
  std::string line(text);
  std::replace_if(
      line.begin(), line.end(), [](unsigned char c) { return c < ' '; }, ' ');
  return line;
}

Response Liveness(const HealthQuery& query) {
  return {.body = query.verbose ? "[+]process ok\nlivez check passed\n" : "ok\n"};
}

Response Readiness(const std::vector<ReadinessCheck>& checks, const HealthQuery& query) {
  std::string all_lines;
  std::string failed_lines;
  for (const ReadinessCheck& check : checks) {
    if (query.Excludes(check.name)) {
      all_lines += fmt::format("[+]{} excluded: ok\n", check.name);
      continue;
    }
    const absl::Status status = check.check();
    if (status.ok()) {
      all_lines += fmt::format("[+]{} ok\n", check.name);
      continue;
    }
    const std::string line =
        fmt::format("[-]{} failed: {}\n", check.name, OneLine(MessageOf(status)));
    all_lines += line;
    failed_lines += line;
  }
  if (failed_lines.empty()) {
    return {.body = query.verbose ? all_lines + "readyz check passed\n" : "ok\n"};
  }
  return {.code = 503,
          .reason = "Service Unavailable",
          .body = (query.verbose ? all_lines : failed_lines) + "readyz check failed\n"};
}

void Send(mg_connection* connection, const Response& response, bool with_body) {
  const std::string head = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n"
      "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n{}\r\n",
      response.code, response.reason, response.content_type, response.body.size(),
      response.extra_headers);
  // A failed write means that the client has gone; there is nobody left to tell.
  if (mg_write(connection, head.data(), head.size()) <= 0) return;
  if (with_body && !response.body.empty()) {
    mg_write(connection, response.body.data(), response.body.size());
  }
}

std::string AddressText(const std::string& host, uint16_t port) {
  return host.find(':') != std::string::npos ? fmt::format("[{}]:{}", host, port)
                                             : fmt::format("{}:{}", host, port);
}

// A socket address with its numeric text, as civetweb takes it.
struct ListenAddress {
  sockaddr_storage address{};
  socklen_t size = 0;
  int family = AF_UNSPEC;
  std::string numeric;  // IPv6 in brackets.
};

absl::StatusOr<ListenAddress> Resolve(const HttpServerOptions& options) {
  const std::string name = AddressText(options.host, options.port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = fmt::format("{}", options.port);
  if (const int error = getaddrinfo(options.host.c_str(), port.c_str(), &hints, &found);
      error != 0) {
    return InvalidArgument("{} {}: address {}: {}", options.setting_name, options.port, name,
                           gai_strerror(error));
  }
  // IPv4 first: a name such as localhost has both, and the other end of a probe mostly dials that.
  const addrinfo* chosen = found;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    if (each->ai_family == AF_INET) {
      chosen = each;
      break;
    }
  }
  ListenAddress result;
  MOKV_CHECK_LE(chosen->ai_addrlen, sizeof(result.address));
  std::memcpy(&result.address, chosen->ai_addr, chosen->ai_addrlen);
  result.size = chosen->ai_addrlen;
  result.family = chosen->ai_family;
  std::array<char, NI_MAXHOST> text{};
  const int error = getnameinfo(chosen->ai_addr, chosen->ai_addrlen, text.data(),
                                static_cast<socklen_t>(text.size()), nullptr, 0, NI_NUMERICHOST);
  freeaddrinfo(found);
  if (error != 0) {
    return InvalidArgument("{} {}: address {}: {}", options.setting_name, options.port, name,
                           gai_strerror(error));
  }
  result.numeric = result.family == AF_INET6 ? fmt::format("[{}]", text.data()) : text.data();
  return result;
}

// Binds the address once and lets it go: civetweb's own errors do not say what was wrong. Whoever
// takes the port in between is still met by civetweb's error.
absl::Status ProbeBind(const HttpServerOptions& options, const ListenAddress& address) {
  const std::string what = fmt::format("{} {}: address {}", options.setting_name, options.port,
                                       AddressText(options.host, options.port));
  if (address.family == AF_INET6 && mg_check_feature(MG_FEATURES_IPV6) == 0) {
    return InvalidArgument(
        "{}: this system's HTTP library (civetweb {}) is built without IPv6; use an IPv4 address",
        what, mg_version());
  }
  const int probe = socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return ErrnoStatus(errno, what);
  // As civetweb does: connections of an earlier process that linger are no obstacle.
  const int on = 1;
  setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  int error = 0;
  if (bind(probe, reinterpret_cast<const sockaddr*>(&address.address), address.size) != 0 ||
      listen(probe, 1) != 0) {
    error = errno;
  }
  close(probe);
  if (error == 0) return absl::OkStatus();
  if (error == EADDRINUSE) return Unavailable("{} is already in use", what);
  if (error == EADDRNOTAVAIL) {
    return InvalidArgument("{} is not an address of this machine", what);
  }
  if (error == EACCES) return FailedPrecondition("{} may not be used by this user", what);
  return ErrnoStatus(error, what);
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(HttpServerOptions options, const MetricsPage* metrics)
      : options_(std::move(options)), metrics_(metrics) {}
  ~Impl() {
    if (context_ != nullptr) Stop();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  absl::Status Start() {
    MOKV_CHECK(context_ == nullptr);
    MOKV_ASSIGN_OR_RETURN(const ListenAddress address, Resolve(options_));
    MOKV_RETURN_IF_ERROR(ProbeBind(options_, address));
    static std::once_flag library_once;  // Process-wide state of civetweb; no TLS is asked of it.
    std::call_once(library_once, [] { mg_init_library(0); });
    MOKV_RETURN_IF_ERROR(StartCivetweb(address));
    mg_server_port listening{};
    if (mg_get_server_ports(context_, 1, &listening) != 1) {
      return Unavailable("{} {}: the HTTP server does not tell its port", options_.setting_name,
                         options_.port);
    }
    port_ = static_cast<uint16_t>(listening.port);
    listen_address_ = address;
    return absl::OkStatus();
  }

  uint16_t port() const { return port_; }

 private:
  absl::Status StartCivetweb(const ListenAddress& address) {
    const std::string ports = fmt::format("{}:{}", address.numeric, options_.port);
    const std::string threads = fmt::format("{}", kThreads);
    const std::string waiting = fmt::format("{}", kConnectionsWaitingMax);
    const std::string request_bytes = fmt::format("{}", kRequestBytesMax);
    const std::string timeout_ms = fmt::format("{}", kRequestTimeout.count());
    // One request a connection: an idle one would hold one of the few threads.
    std::array<const char*, 17> settings = {"listening_ports",
                                            ports.c_str(),
                                            "num_threads",
                                            threads.c_str(),
                                            "connection_queue",
                                            waiting.c_str(),
                                            "listen_backlog",
                                            waiting.c_str(),
                                            "max_request_size",
                                            request_bytes.c_str(),
                                            "request_timeout_ms",
                                            timeout_ms.c_str(),
                                            "enable_keep_alive",
                                            "no",
                                            "enable_directory_listing",
                                            "no",
                                            nullptr};
    mg_callbacks callbacks{};
    callbacks.begin_request = &Impl::OnRequest;
    callbacks.log_message = &Impl::OnLog;
    mg_init_data init{};
    init.callbacks = &callbacks;
    init.user_data = this;
    init.configuration_options = settings.data();
    std::array<char, 256> error_text{};
    unsigned error_code = 0;
    mg_error_data error{&error_code, error_text.data(), error_text.size()};
    context_ = mg_start2(&init, &error);
    if (context_ != nullptr) return absl::OkStatus();
    return Unavailable("{} {}: address {}: {}", options_.setting_name, options_.port,
                       AddressText(options_.host, options_.port), error_text.data());
  }

  // civetweb's accepting thread looks for its stop flag only when a connection comes, or every two
  // seconds; connections of our own keep a stop of the node from waiting for that.
  void Stop() {
    Mutex mutex;
    CondVar stopped;
    bool has_stopped = false;
    std::thread waker([&] {
      MutexLock lock(mutex);
      while (!has_stopped) {
        Poke();
        stopped.WaitFor(lock, std::chrono::milliseconds(5));
      }
    });
    mg_stop(context_);
    context_ = nullptr;
    {
      MutexLock lock(mutex);
      has_stopped = true;
    }
    stopped.NotifyAll();
    waker.join();
  }

  // Connects to the server and hangs up. Whether it works is seen by the server, not here.
  void Poke() const {
    const int client =
        socket(listen_address_.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client < 0) return;
    sockaddr_storage address = listen_address_.address;
    if (address.ss_family == AF_INET) {
      reinterpret_cast<sockaddr_in*>(&address)->sin_port = htons(port_);
    } else {
      reinterpret_cast<sockaddr_in6*>(&address)->sin6_port = htons(port_);
    }
    (void)connect(client, reinterpret_cast<const sockaddr*>(&address), listen_address_.size);
    close(client);
  }

  // Called by civetweb's threads before anything of its own, such as files, is considered.
  static int OnRequest(mg_connection* connection) {
    const mg_request_info* request = mg_get_request_info(connection);
    const Impl* self = static_cast<const Impl*>(request->user_data);
    const std::string_view method = request->request_method;
    // Also keeps civetweb from reading whatever body follows.
    mg_disable_connection_keep_alive(connection);
    const Response response = self->Answer(method, request);
    Send(connection, response, method != "HEAD");
    return response.code;
  }

  // Its log is about what clients do wrong: not worth more than a line for who looks for it.
  static int OnLog(const mg_connection*, const char* message) {
    LogDebug("http server", {{"message", message}});
    return 1;
  }

  Response Answer(std::string_view method, const mg_request_info* request) const {
    const std::string_view path = request->local_uri == nullptr ? "" : request->local_uri;
    const std::string_view query = request->query_string == nullptr ? "" : request->query_string;
    if (path != "/metrics" && path != "/livez" && path != "/readyz") {
      return {.code = 404, .reason = "Not Found", .body = "not found\n"};
    }
    if (method != "GET" && method != "HEAD") {
      return {.code = 405,
              .reason = "Method Not Allowed",
              .body = "method not allowed\n",
              .extra_headers = "Allow: GET, HEAD\r\n"};
    }
    if (path == "/metrics") {
      return {.content_type = MetricsPage::kContentType, .body = metrics_->Render()};
    }
    if (path == "/livez") return Liveness(ParseHealthQuery(query));
    return Readiness(options_.readiness_checks, ParseHealthQuery(query));
  }

  const HttpServerOptions options_;
  const MetricsPage* const metrics_;
  mg_context* context_ = nullptr;
  ListenAddress listen_address_;
  uint16_t port_ = 0;  // The one bound, where the address asked for any.
};

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(HttpServerOptions options,
                                                              const MetricsPage* metrics) {
  MOKV_CHECK(metrics != nullptr);
  auto impl = std::make_unique<Impl>(std::move(options), metrics);
  MOKV_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;

uint16_t HttpServer::port() const { return impl_->port(); }

}  // namespace mokv::telemetry
