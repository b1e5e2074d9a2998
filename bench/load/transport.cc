#include "load/transport.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace mokv::load {
namespace {

constexpr unsigned char kAlpnH2[] = {2, 'h', '2'};
constexpr size_t kTlsReadAheadBytes = 64 << 10;  // One system call then serves several records.

// OpenSSL's reasons, and an empty queue for the next one to fail.
std::string TakeOpenSslErrors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {  // NOLINT: OpenSSL's type.
    const char* reason = ERR_reason_error_string(code);
    if (!text.empty()) text += "; ";
    text += reason == nullptr ? "unknown OpenSSL error" : reason;
  }
  return text.empty() ? "connection closed" : text;
}

class OpenSslContext final : public TlsContext {
 public:
  OpenSslContext() : context_(SSL_CTX_new(TLS_client_method())) { MOKV_CHECK(context_ != nullptr); }
  ~OpenSslContext() override { SSL_CTX_free(context_); }

  OpenSslContext(const OpenSslContext&) = delete;
  OpenSslContext& operator=(const OpenSslContext&) = delete;

  absl::Status Load(const LoadOptions& options) {
    SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION);
    SSL_CTX_set_mode(context_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_read_ahead(context_, 1);
    SSL_CTX_set_default_read_buffer_len(context_, kTlsReadAheadBytes);
    SSL_CTX_set_alpn_protos(context_, kAlpnH2, sizeof(kAlpnH2));
    if (SSL_CTX_load_verify_locations(context_, options.ca_file.c_str(), nullptr) != 1) {
      return InvalidArgument("--cacert {}: {}", options.ca_file, TakeOpenSslErrors());
    }
    if (options.cert_file.empty()) return absl::OkStatus();
    if (SSL_CTX_use_certificate_chain_file(context_, options.cert_file.c_str()) != 1) {
      return InvalidArgument("--cert {}: {}", options.cert_file, TakeOpenSslErrors());
    }
    if (SSL_CTX_use_PrivateKey_file(context_, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context_) != 1) {
      return InvalidArgument("--key {}: {}", options.key_file, TakeOpenSslErrors());
    }
    return absl::OkStatus();
  }

  SSL_CTX* get() const { return context_; }

 private:
  SSL_CTX* context_;
};

class TcpTransport : public Transport {
 public:
  explicit TcpTransport(int fd) : fd_(fd) {}
  ~TcpTransport() override { close(fd_); }

  TcpTransport(const TcpTransport&) = delete;
  TcpTransport& operator=(const TcpTransport&) = delete;

  int fd() const override { return fd_; }

  absl::StatusOr<size_t> Read(char* buffer, size_t size) override {
    const ssize_t got = recv(fd_, buffer, size, 0);
    filled_ = got == static_cast<ssize_t>(size);
    if (got > 0) return static_cast<size_t>(got);
    if (got == 0) return Unavailable("the server closed the connection");
    if (errno == EAGAIN || errno == EINTR) return 0;
    return ErrnoStatus(errno, "recv");
  }

  bool may_have_more() const override { return filled_; }

  absl::StatusOr<size_t> Write(std::string_view bytes) override {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<size_t>(sent);
    if (errno == EAGAIN || errno == EINTR) return 0;
    return ErrnoStatus(errno, "send");
  }

 private:
  int fd_;
  bool filled_ = false;  // The last read took all that there was room for.
};

class TlsTransport final : public TcpTransport {
 public:
  TlsTransport(int fd, std::shared_ptr<const TlsContext> context)
      : TcpTransport(fd),
        context_(std::move(context)),
        ssl_(SSL_new(static_cast<const OpenSslContext&>(*context_).get())) {
    MOKV_CHECK(ssl_ != nullptr);
    SSL_set_fd(ssl_, fd);
  }
  ~TlsTransport() override { SSL_free(ssl_); }

  // The socket still blocks, bounded by its timeouts.
  absl::Status Handshake(const std::string& host) {
    in6_addr address;
    const bool is_address = inet_pton(AF_INET, host.c_str(), &address) == 1 ||
                            inet_pton(AF_INET6, host.c_str(), &address) == 1;
    if (is_address) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), host.c_str());
    } else {
      SSL_set1_host(ssl_, host.c_str());
      SSL_set_tlsext_host_name(ssl_, host.c_str());
    }
    ERR_clear_error();
    if (SSL_connect(ssl_) != 1) return Unavailable("TLS handshake: {}", TakeOpenSslErrors());
    const unsigned char* protocol = nullptr;
    unsigned int protocol_size = 0;
    SSL_get0_alpn_selected(ssl_, &protocol, &protocol_size);
    if (std::string_view(reinterpret_cast<const char*>(protocol), protocol_size) != "h2") {
      return Unavailable("TLS handshake: the server did not agree on h2");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> Read(char* buffer, size_t size) override {
    size_t got = 0;
    ERR_clear_error();  // SSL_get_error looks at the thread's whole queue.
    const int result = SSL_read_ex(ssl_, buffer, size, &got);
    return result == 1 ? absl::StatusOr<size_t>(got) : Explain(result);
  }

  // OpenSSL reads ahead: whole records may wait in its buffer.
  bool may_have_more() const override { return SSL_has_pending(ssl_) == 1; }

  absl::StatusOr<size_t> Write(std::string_view bytes) override {
    size_t sent = 0;
    ERR_clear_error();
    const int result = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &sent);
    return result == 1 ? absl::StatusOr<size_t>(sent) : Explain(result);
  }

 private:
  absl::StatusOr<size_t> Explain(int result) {
    switch (SSL_get_error(ssl_, result)) {
      case SSL_ERROR_WANT_READ:
      case SSL_ERROR_WANT_WRITE:
        return 0;
      case SSL_ERROR_ZERO_RETURN:
        return Unavailable("the server closed the connection");
      default:
        return Unavailable("TLS: {}", TakeOpenSslErrors());
    }
  }

  std::shared_ptr<const TlsContext> context_;
  SSL* ssl_;
};

void SetTimeouts(int fd, double seconds) {
  timeval timeout;
  timeout.tv_sec = static_cast<time_t>(seconds);
  timeout.tv_usec = static_cast<suseconds_t>((seconds - std::floor(seconds)) * 1e6);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));  // Bounds connect() too.
}

absl::StatusOr<int> OpenSocket(const Endpoint& endpoint, double timeout_seconds) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(endpoint.host.c_str(), endpoint.port.c_str(), &hints, &found);
  if (code != 0) return Unavailable("{}", gai_strerror(code));
  absl::Status failure = Unavailable("no address");
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    const int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      failure = ErrnoStatus(errno, "socket");
      continue;
    }
    SetTimeouts(fd, timeout_seconds);
    if (connect(fd, address->ai_addr, address->ai_addrlen) == 0) {
      freeaddrinfo(found);
      const int one = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
      return fd;
    }
    // A connect() that ran into SO_SNDTIMEO says "in progress", which would puzzle the reader.
    failure =
        errno == EINPROGRESS ? Unavailable("connect: timed out") : ErrnoStatus(errno, "connect");
    close(fd);
  }
  freeaddrinfo(found);
  return failure;
}

absl::Status At(const Endpoint& endpoint, const absl::Status& status) {
  return Unavailable("{}:{}: {}", endpoint.host, endpoint.port, MessageOf(status));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TlsContext>> NewTlsContext(const LoadOptions& options) {
  auto context = std::make_shared<OpenSslContext>();
  MOKV_RETURN_IF_ERROR(context->Load(options));
  return std::shared_ptr<const TlsContext>(std::move(context));
}

absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text) {
  const size_t colon = text.rfind(':');
  std::string_view host = text.substr(0, colon == std::string_view::npos ? 0 : colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (host.empty() || colon + 1 == text.size()) {
    return InvalidArgument("endpoint '{}' is not HOST:PORT", text);
  }
  return Endpoint{std::string(host), std::string(text.substr(colon + 1))};
}

absl::StatusOr<std::unique_ptr<Transport>> Connect(const Endpoint& endpoint,
                                                   const std::shared_ptr<const TlsContext>& tls,
                                                   double timeout_seconds) {
  absl::StatusOr<int> fd = OpenSocket(endpoint, timeout_seconds);
  if (!fd.ok()) return At(endpoint, fd.status());
  std::unique_ptr<Transport> transport;
  if (tls == nullptr) {
    transport = std::make_unique<TcpTransport>(*fd);
  } else {
    auto secured = std::make_unique<TlsTransport>(*fd, tls);
    const absl::Status status = secured->Handshake(endpoint.host);
    if (!status.ok()) return At(endpoint, status);
    transport = std::move(secured);
  }
  if (fcntl(*fd, F_SETFL, O_NONBLOCK) != 0) return At(endpoint, ErrnoStatus(errno, "fcntl"));
  return transport;
}

}  // namespace mokv::load
