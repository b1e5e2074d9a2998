#include "net/listener.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <future>

#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"

namespace mokv::net {
namespace {

// How long accepting pauses when the process has no descriptors left.
constexpr Duration kAcceptPause = std::chrono::milliseconds(50);

}  // namespace

class Listener::Impl : public std::enable_shared_from_this<Listener::Impl> {
 public:
  Impl(IoPool& pool, Options options)
      : pool_(pool),
        options_(std::move(options)),
        acceptor_(pool.thread(0).context()),
        pause_(pool.thread(0).context()) {}

  absl::Status Bind();
  void Accept();
  void Stop();
  void AddProtocol(Protocol protocol) { protocols_.push_back(std::move(protocol)); }
  uint16_t port() const { return acceptor_.local_endpoint().port(); }
  const ListenerStats& stats() const { return stats_; }

 private:
  class Greeter;

  void Distribute(int fd);

  // The protocol whose ALPN name this is; null when unknown.
  const Protocol* FindByAlpn(std::string_view alpn) const;
  // The protocol that begins with these bytes; null when unknown, or, with `undecided` set, when
  // more bytes are needed.
  const Protocol* FindByPrefix(std::string_view bytes, bool* undecided) const;

  IoPool& pool_;
  const Options options_;
  std::vector<Protocol> protocols_;
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  size_t next_thread_ = 0;
  std::shared_ptr<std::atomic<size_t>> open_ = std::make_shared<std::atomic<size_t>>(0);
  ListenerStats stats_;
};

// A connection from accept until its protocol is known.
class Listener::Impl::Greeter final : public Transport::Handler {
 public:
  Greeter(std::shared_ptr<Impl> listener, IoThread& thread, int fd)
      : listener_(std::move(listener)),
        thread_(thread),
        transport_(std::make_unique<Transport>(thread, fd, listener_->options_.tls)),
        timeout_(thread) {
    transport_->CountIn(listener_->open_);
  }

  static void Start(std::unique_ptr<Greeter> greeter) {
    Greeter* self = greeter.get();
    self->self_ = std::move(greeter);
    self->timeout_.Start(self->listener_->options_.handshake_timeout, [self] {
      ++self->listener_->stats_.handshakes_timed_out;
      self->End();
    });
    self->transport_->Start(self);
  }

  void OnReady() override {
    if (listener_->options_.tls == nullptr) return;  // The first bytes will tell.
    const Protocol* protocol = listener_->FindByAlpn(transport_->protocol());
    if (protocol == nullptr) {
      ++listener_->stats_.protocols_unknown;
      End();
    } else {
      HandOver(*protocol);
    }
  }

  void OnBytes(std::string_view bytes) override {
    first_bytes_ += bytes;
    bool undecided = false;
    const Protocol* protocol = listener_->FindByPrefix(first_bytes_, &undecided);
    if (protocol != nullptr) {
      HandOver(*protocol);
    } else if (!undecided) {
      ++listener_->stats_.protocols_unknown;
      End();
    }
  }

  void OnReadEnd() override {}
  void OnWritable() override {}

  void OnClosed(const absl::Status& reason) override {
    if (transport_->ready()) {
      ++listener_->stats_.closed_early;
    } else {
      ++listener_->stats_.handshakes_failed;
      LogDebug("connection refused",
               {{"peer", transport_->peer_address()}, {"reason", MessageOf(reason)}});
    }
    End();
  }

 private:
  void HandOver(const Protocol& protocol) {
    ++listener_->stats_.accepted;
    timeout_.Cancel();
    protocol.accept(std::move(transport_), first_bytes_);
    thread_.DeleteSoon(std::move(self_));
  }

  void End() {
    timeout_.Cancel();
    transport_->Close();
    thread_.DeleteSoon(std::move(self_));
  }

  std::shared_ptr<Impl> listener_;
  IoThread& thread_;
  std::unique_ptr<Transport> transport_;
  Timer timeout_;
  std::string first_bytes_;
  std::unique_ptr<Greeter> self_;  // Its own owner, until it hands over or ends.
};

absl::Status Listener::Impl::Bind() {
  const HostPort& address = options_.address;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  if (const int error = getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found);
      error != 0) {
    return InvalidArgument("cannot resolve {}: {}", address.host, gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  asio::ip::tcp::endpoint endpoint;
  endpoint.resize(found->ai_addrlen);
  std::memcpy(endpoint.data(), found->ai_addr, found->ai_addrlen);

  asio::error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(asio::ip::tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(1024, error);
  if (error) return ErrnoStatus(error.value(), "cannot listen on " + address.ToString());
  return absl::OkStatus();
}

void Listener::Impl::Accept() {
  acceptor_.async_accept(
      [self = shared_from_this()](const asio::error_code& error, asio::ip::tcp::socket socket) {
        if (!self->acceptor_.is_open()) return;
        if (!error) {
          socket.native_non_blocking(true);
          self->Distribute(socket.release());
          self->Accept();
          return;
        }
        // Usually out of descriptors: trying again at once would spin.
        LogWarn("cannot accept a connection", {{"error", error.message()}});
        self->pause_.expires_after(kAcceptPause);
        self->pause_.async_wait([self](const asio::error_code& cancelled) {
          if (!cancelled) self->Accept();
        });
      });
}

void Listener::Impl::Stop() {
  std::promise<void> stopped;
  pool_.thread(0).Post([&] {
    asio::error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
    stopped.set_value();
  });
  stopped.get_future().wait();
}

void Listener::Impl::Distribute(int fd) {
  if (open_->load() >= options_.connections_max) {
    ++stats_.refused_full;
    close(fd);
    return;
  }
  // In turn: even with few connections, which a hash of addresses would not be.
  IoThread& thread = pool_.thread(next_thread_++ % pool_.size());
  thread.Post([self = shared_from_this(), &thread, fd] {
    Greeter::Start(std::make_unique<Greeter>(self, thread, fd));
  });
}

const Protocol* Listener::Impl::FindByAlpn(std::string_view alpn) const {
  for (const Protocol& protocol : protocols_) {
    if (protocol.alpn == alpn) return &protocol;
  }
  return nullptr;
}

const Protocol* Listener::Impl::FindByPrefix(std::string_view bytes, bool* undecided) const {
  for (const Protocol& protocol : protocols_) {
    if (bytes.starts_with(protocol.clear_prefix)) return &protocol;
    if (protocol.clear_prefix.starts_with(bytes)) *undecided = true;
  }
  return nullptr;
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Bind(IoPool& pool, Options options) {
  auto impl = std::make_shared<Impl>(pool, std::move(options));
  MOKV_RETURN_IF_ERROR(impl->Bind());
  return std::unique_ptr<Listener>(new Listener(std::move(impl)));
}

Listener::Listener(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Listener::~Listener() = default;
void Listener::AddProtocol(Protocol protocol) { impl_->AddProtocol(std::move(protocol)); }
void Listener::Start() { impl_->Accept(); }
void Listener::Stop() { impl_->Stop(); }
uint16_t Listener::port() const { return impl_->port(); }
const ListenerStats& Listener::stats() const { return impl_->stats(); }

}  // namespace mokv::net
