#include "telemetry/http_server.h"

#include <httplib.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/logging.h"
#include "base/status.h"

namespace mokv::telemetry {
namespace {

// -- What is answered.

constexpr std::string_view kPlainText = "text/plain; charset=utf-8";
// More than anyone excludes; those beyond it have no effect.
constexpr size_t kExcludesMax = 32;

struct Content {
  int code = 200;
  std::string_view type = kPlainText;
  std::string body = {};
};

// What `?verbose` and `?exclude=` asked for.
struct HealthQuery {
  bool verbose = false;
  std::vector<std::string> excluded;

  bool Excludes(std::string_view name) const {
    return std::find(excluded.begin(), excluded.end(), name) != excluded.end();
  }
};

HealthQuery HealthQueryOf(const httplib::Params& parameters) {
  HealthQuery result;
  result.verbose = parameters.contains("verbose");
  const auto [begin, end] = parameters.equal_range("exclude");
  for (auto it = begin; it != end && result.excluded.size() < kExcludesMax; ++it) {
    result.excluded.push_back(it->second);
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

Content Liveness(const HealthQuery& query) {
  return {.body = query.verbose ? "[+]process ok\nlivez check passed\n" : "ok\n"};
}

Content Readiness(const std::vector<ReadinessCheck>& checks, const HealthQuery& query) {
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
    if (check.only_tells) {
      all_lines += fmt::format("[!]{}: {}\n", check.name, OneLine(MessageOf(status)));
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
          .body = (query.verbose ? all_lines : failed_lines) + "readyz check failed\n"};
}

// -- HTTP, which is httplib's part: it makes the bytes of a response from those of a request. The
// sockets are ours: docs/decisions/0005-http.md.

// One request in memory, and the response that httplib writes to it.
class Exchange final : public httplib::Stream {
 public:
  explicit Exchange(std::string_view request) : unread_(request) {}

  std::string TakeResponse() { return std::move(response_); }

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* bytes, size_t size) override {
    const size_t count = std::min(size, unread_.size());
    std::copy_n(unread_.data(), count, bytes);
    unread_.remove_prefix(count);
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* bytes, size_t size) override {
    response_.append(bytes, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return INVALID_SOCKET; }

 private:
  std::string_view unread_;
  std::string response_;
};

// httplib's request processing without its sockets and threads, as its own TLS server uses it.
class Engine final : public httplib::Server {
 public:
  using httplib::Server::process_request;
};

std::unique_ptr<Engine> MakeEngine() {
  // httplib's constructor ignores SIGPIPE for the process. That is not for a library to decide, and
  // we send with MSG_NOSIGNAL.
  struct sigaction before {};
  MOKV_CHECK_EQ(sigaction(SIGPIPE, nullptr, &before), 0);
  auto engine = std::make_unique<Engine>();
  MOKV_CHECK_EQ(sigaction(SIGPIPE, &before, nullptr), 0);
  engine->set_default_headers({{"Accept-Ranges", "none"},
                               {"Cache-Control", "no-store"},
                               {"X-Content-Type-Options", "nosniff"}});
  return engine;
}

// Options of HTTP that a server need not follow, each of which lets a client spend our memory or
// time: httplib matches Range with a regular expression that recurses once a byte, which is more
// than a small stack holds, and answers many ranges of one body in full; it compresses at the best
// and slowest level; and it answers Expect before it has looked at the request.
void HideOptions(std::string& head) {
  for (size_t line = 0; line < head.size();) {
    for (const std::string_view name : {"range:", "accept-encoding:", "expect:"}) {
      if (head.size() - line < name.size()) continue;
      if (strncasecmp(head.data() + line, name.data(), name.size()) == 0) head[line] = '-';
    }
    line = head.find('\n', line);
    if (line != std::string::npos) ++line;
  }
}

// -- Sockets.

// How long a client gets to close after its answer.
constexpr Duration kCloseTimeout = std::chrono::milliseconds(500);
// How long accepting pauses when the process has no descriptors or memory left.
constexpr Duration kAcceptPause = std::chrono::seconds(1);

// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }

  int get() const { return fd_; }

 private:
  int fd_;
};

enum class Waited { kReady, kTimedOut, kStopped };

// Waits until `fd` is ready for `events` (or broken), the deadline has passed, or `stop_fd` is
// readable, which goes before the others.
Waited WaitFor(int fd, short events, int stop_fd, MonotonicTime deadline) {
  for (;;) {
    timespec timeout{};
    const Duration left = std::max(deadline - SystemClock().Now(), Duration::zero());
    timeout.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count();
    timeout.tv_nsec = (left % std::chrono::seconds(1)).count();
    std::array<pollfd, 2> watched = {pollfd{fd, events, 0}, pollfd{stop_fd, POLLIN, 0}};
    const int ready = ppoll(watched.data(), watched.size(),
                            deadline == MonotonicTime::Max() ? nullptr : &timeout, nullptr);
    if (ready < 0) {
      MOKV_CHECK_EQ(errno, EINTR);
      continue;
    }
    if (watched[1].revents != 0) return Waited::kStopped;
    return ready == 0 ? Waited::kTimedOut : Waited::kReady;
  }
}

MonotonicTime After(Duration duration) { return SystemClock().Now() + duration; }

// The connection of one client: one request, one response.
class Connection {
 public:
  Connection(Descriptor socket, int stop_fd) : socket_(std::move(socket)), stop_fd_(stop_fd) {}

  // Request line and headers, with the empty line that ends them; cut at kRequestBytesMax. Nothing
  // if the client closes or stalls, or the server stops, before they have come.
  std::optional<std::string> ReadHead() {
    const MonotonicTime deadline = After(HttpServer::kRequestTimeout);
    std::string head(HttpServer::kRequestBytesMax, '\0');
    size_t size = 0;
    while (size < head.size()) {
      const ssize_t count = Receive(head.data() + size, head.size() - size, deadline);
      if (count <= 0) return std::nullopt;
      size += static_cast<size_t>(count);
      const size_t end = std::string_view(head.data(), size).find("\n\r\n");
      if (end == std::string_view::npos) continue;
      size = end + 3;
      break;
    }
    head.resize(size);
    return head;
  }

  void Send(std::string_view bytes) {
    const MonotonicTime deadline = After(HttpServer::kRequestTimeout);
    while (!bytes.empty()) {
      const ssize_t count = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count >= 0) {
        bytes.remove_prefix(static_cast<size_t>(count));
      } else if (errno != EINTR && !(WouldBlock() && Wait(POLLOUT, deadline))) {
        return;  // The client has gone or takes nothing; there is nobody left to tell.
      }
    }
  }

  // To close with bytes unread, such as a body, resets the connection, and the client may lose the
  // response with it. So we wait a while for the client to close first.
  void AwaitClose() {
    const MonotonicTime deadline = After(kCloseTimeout);
    if (shutdown(socket_.get(), SHUT_WR) != 0) return;
    std::array<char, 4096> ignored{};
    while (SystemClock().Now() < deadline &&
           Receive(ignored.data(), ignored.size(), deadline) > 0) {
    }
  }

 private:
  static bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK; }

  bool Wait(short events, MonotonicTime deadline) const {
    return WaitFor(socket_.get(), events, stop_fd_, deadline) == Waited::kReady;
  }

  // Bytes received; 0 when the client has closed, negative when it will not send any more in time.
  ssize_t Receive(char* bytes, size_t size, MonotonicTime deadline) {
    for (;;) {
      const ssize_t count = recv(socket_.get(), bytes, size, 0);
      if (count >= 0) return count;
      if (errno != EINTR && !(WouldBlock() && Wait(POLLIN, deadline))) return -1;
    }
  }

  const Descriptor socket_;
  const int stop_fd_;
};

std::string AddressText(const std::string& host, uint16_t port) {
  return host.find(':') != std::string::npos ? fmt::format("[{}]:{}", host, port)
                                             : fmt::format("{}:{}", host, port);
}

// What an error about the address begins with.
std::string AddressName(const HttpServerOptions& options) {
  return fmt::format("{} {}: address {}", options.setting_name, options.port,
                     AddressText(options.host, options.port));
}

struct ListenAddress {
  sockaddr_storage address{};
  socklen_t size = 0;
};

absl::StatusOr<ListenAddress> Resolve(const HttpServerOptions& options) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = fmt::format("{}", options.port);
  if (const int error = getaddrinfo(options.host.c_str(), port.c_str(), &hints, &found);
      error != 0) {
    return InvalidArgument("{}: {}", AddressName(options), gai_strerror(error));
  }
  // IPv4 first: a name such as localhost has both, and probes mostly dial IPv4.
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
  freeaddrinfo(found);
  return result;
}

absl::Status BindError(const HttpServerOptions& options, int error) {
  const std::string name = AddressName(options);
  if (error == EADDRINUSE) return Unavailable("{} is already in use", name);
  if (error == EADDRNOTAVAIL) {
    return InvalidArgument("{} is not an address of this machine", name);
  }
  if (error == EACCES) return FailedPrecondition("{} may not be used by this user", name);
  return ErrnoStatus(error, name);
}

absl::StatusOr<Descriptor> Listen(const HttpServerOptions& options) {
  MOKV_ASSIGN_OR_RETURN(const ListenAddress address, Resolve(options));
  Descriptor listener(
      socket(address.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (listener.get() < 0) return BindError(options, errno);
  // Connections of an earlier process that linger are no obstacle.
  const int on = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address.address), address.size) !=
          0 ||
      listen(listener.get(), HttpServer::kConnectionsWaitingMax) != 0) {
    return BindError(options, errno);
  }
  return listener;
}

absl::StatusOr<uint16_t> PortOf(const Descriptor& listener, const HttpServerOptions& options) {
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  if (getsockname(listener.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    return ErrnoStatus(errno, AddressName(options));
  }
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                           : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(HttpServerOptions options, const MetricsPage* metrics)
      : options_(std::move(options)), metrics_(metrics), engine_(MakeEngine()) {
    engine_->set_pre_routing_handler(
        [this](const httplib::Request& request, httplib::Response& response) {
          Answer(request, response);
          return httplib::Server::HandlerResponse::Handled;  // Before it would read a body.
        });
  }
  ~Impl() {
    if (threads_.empty()) return;
    MOKV_CHECK_EQ(eventfd_write(stop_.get(), 1), 0);
    for (std::thread& thread : threads_) thread.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  absl::Status Start() {
    MOKV_CHECK(threads_.empty());
    MOKV_ASSIGN_OR_RETURN(listener_, Listen(options_));
    MOKV_ASSIGN_OR_RETURN(port_, PortOf(listener_, options_));
    stop_ = Descriptor(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (stop_.get() < 0) return ErrnoStatus(errno, AddressName(options_));
    for (int i = 0; i < kThreads; ++i) {
      threads_.emplace_back([this, i] {
        pthread_setname_np(pthread_self(), fmt::format("http-{}", i).c_str());
        Run();
      });
    }
    return absl::OkStatus();
  }

  uint16_t port() const { return port_; }

 private:
  // Each thread takes a connection and serves it to its end. Those that wait do so in the kernel's
  // queue, which is bounded.
  void Run() {
    while (WaitFor(listener_.get(), POLLIN, stop_.get(), MonotonicTime::Max()) == Waited::kReady) {
      Descriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (socket.get() >= 0) {
        Serve(Connection(std::move(socket), stop_.get()));
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        LogWarn("http server takes no connection", {{"error", std::strerror(errno)}});
        WaitFor(-1, 0, stop_.get(), After(kAcceptPause));
      }
      // Otherwise another thread has it, or the client has gone again.
    }
  }

  void Serve(Connection connection) {
    std::optional<std::string> head = connection.ReadHead();
    if (!head) return;
    HideOptions(*head);
    const std::string response = Process(*head);
    connection.Send(response);
    connection.AwaitClose();
  }

  // The bytes of the response; none when there is nothing to say.
  std::string Process(std::string_view head) {
    Exchange exchange(head);
    bool connection_closed = false;
    try {
      engine_->process_request(exchange, /*close_connection=*/true, connection_closed, nullptr);
    } catch (const std::exception& error) {
      LogError("http request failed", {{"error", error.what()}});
      return {};
    }
    return exchange.TakeResponse();
  }

  // Called by the engine.
  void Answer(const httplib::Request& request, httplib::Response& response) const {
    const Content content = ContentFor(request);
    response.status = content.code;
    response.set_content(content.body, std::string(content.type));
    if (content.code == 405) response.set_header("Allow", "GET, HEAD");
  }

  Content ContentFor(const httplib::Request& request) const {
    const std::string& path = request.path;
    if (path != "/metrics" && path != "/livez" && path != "/readyz") {
      return {.code = 404, .body = "not found\n"};
    }
    if (request.method != "GET" && request.method != "HEAD") {
      return {.code = 405, .body = "method not allowed\n"};
    }
    if (path == "/metrics") return {.type = MetricsPage::kContentType, .body = metrics_->Render()};
    const HealthQuery query = HealthQueryOf(request.params);
    return path == "/livez" ? Liveness(query) : Readiness(options_.readiness_checks, query);
  }

  const HttpServerOptions options_;
  const MetricsPage* const metrics_;
  const std::unique_ptr<Engine> engine_;  // Its settings stay as they are while threads run.
  Descriptor listener_;
  Descriptor stop_;    // An event that is set once. It ends every wait of the threads.
  uint16_t port_ = 0;  // The one that was bound.
  std::vector<std::thread> threads_;
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
