#include "net/listener.h"

#include <absl/container/flat_hash_map.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <future>
#include <utility>

#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>

#include "base/check.h"
#include "base/logging.h"
#include "base/mutex.h"
#include "base/status.h"

namespace mokv::net {
namespace {

// How long accepting pauses when the process has no descriptors left.
constexpr Duration kAcceptPause = std::chrono::milliseconds(50);

// An accepted socket on its way to its I/O thread. Closes the socket if it does not get there.
class AcceptedSocket {
 public:
  explicit AcceptedSocket(int fd) : fd_(fd) {}
  ~AcceptedSocket() {
    if (fd_ >= 0) close(fd_);
  }
  AcceptedSocket(AcceptedSocket&& other) noexcept : fd_(other.Release()) {}
  AcceptedSocket& operator=(AcceptedSocket&&) = delete;

  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace

// Only its Listener owns it. Tasks and handlers that are still queued when the pool has stopped
// must not keep it alive: it would outlive the I/O thread that its acceptor belongs to.
class Listener::Impl : public std::enable_shared_from_this<Listener::Impl> {
 public:
  Impl(IoPool& pool, Options options);
  ~Impl();

  absl::Status Bind();
  void Start();
  void Stop();
  // Call it when nothing runs on the I/O threads any more.
  void DropGreeters();
  void AddProtocol(Protocol protocol) { protocols_.push_back(std::move(protocol)); }
  void SetTls(std::shared_ptr<const TlsContext> tls) {
    MOKV_CHECK((tls == nullptr) == (this->tls() == nullptr));
    const MutexLock lock(mutex_);
    tls_ = std::move(tls);
  }
  std::shared_ptr<const TlsContext> tls() const {
    const MutexLock lock(mutex_);
    return tls_;
  }
  uint16_t port() const { return port_; }
  const ListenerStats& stats() const { return stats_; }

 private:
  class Greeter;

  void Accept();
  void Distribute(AcceptedSocket socket);
  void Greet(IoThread& thread, AcceptedSocket socket, std::shared_ptr<void> slot);
  void EndGreeters(IoThread& thread);
  // Runs `task` on `thread` and waits for its end.
  static void RunOn(IoThread& thread, Task task);

  // The protocol whose ALPN name this is; null when unknown.
  const Protocol* FindByAlpn(std::string_view alpn) const;
  // The protocol that begins with these bytes. Null when it is unknown, or when more bytes are
  // needed to tell: then `undecided` is set.
  const Protocol* FindByPrefix(std::string_view bytes, bool* undecided) const;

  IoPool& pool_;
  Options options_;  // Without TLS: that is below.
  std::vector<Protocol> protocols_;
  // By I/O thread; each touches only its own.
  std::vector<absl::flat_hash_map<Greeter*, std::unique_ptr<Greeter>>> greeters_;
  // Thread 0 only.
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  uint16_t port_ = 0;
  size_t next_thread_ = 0;
  std::shared_ptr<std::atomic<size_t>> open_ = std::make_shared<std::atomic<size_t>>(0);
  ListenerStats stats_;

  mutable Mutex mutex_;
  std::shared_ptr<const TlsContext> tls_ ABSL_GUARDED_BY(mutex_);
};

// A connection from accept until its protocol is known. The listener owns it; it may outlive the
// listener by a turn.
class Listener::Impl::Greeter final : public Transport::Handler {
 public:
  Greeter(Impl& listener, IoThread& thread, int fd, std::shared_ptr<void> slot)
      : listener_(&listener),
        thread_(thread),
        transport_(std::make_unique<Transport>(thread, fd, listener.tls())),
        timeout_(thread) {
    transport_->Keep(std::move(slot));
  }

  void Start() {
    timeout_.Start(listener_->options_.handshake_timeout, [this] {
      ++listener_->stats_.handshakes_timed_out;
      End();
    });
    transport_->Start(this);
  }

  void End() {
    transport_->Close();
    Retire();
  }

  void OnReady() override {
    if (!transport_->is_tls()) return;  // The first bytes will tell.
    // Others may be believed since its handshake began.
    if (absl::Status status = transport_->VerifyAgain(*listener_->tls()); !status.ok()) {
      ++listener_->stats_.handshakes_failed;
      LogDebug("connection refused",
               {{"peer", transport_->peer_address()}, {"reason", MessageOf(status)}});
      return End();
    }
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
    protocol.accept(std::move(transport_), first_bytes_);
    Retire();
  }

  void Retire() {
    timeout_.Cancel();
    auto& greeters = listener_->greeters_[thread_.index()];
    const auto self = greeters.find(this);
    MOKV_CHECK(self != greeters.end());
    thread_.DeleteSoon(std::move(self->second));
    greeters.erase(self);
  }

  Impl* listener_;
  IoThread& thread_;
  std::unique_ptr<Transport> transport_;
  Timer timeout_;
  std::string first_bytes_;
};

Listener::Impl::Impl(IoPool& pool, Options options)
    : pool_(pool),
      options_(std::move(options)),
      greeters_(pool.size()),
      acceptor_(pool.thread(0).context()),
      pause_(pool.thread(0).context()),
      tls_(std::exchange(options_.tls, nullptr)) {}

Listener::Impl::~Impl() = default;

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
  if (!error) port_ = acceptor_.local_endpoint(error).port();
  if (error) return ErrnoStatus(error.value(), "cannot listen on " + address.ToString());
  return absl::OkStatus();
}

void Listener::Impl::Start() {
  pool_.thread(0).Post([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->Accept();
  });
}

void Listener::Impl::Accept() {
  acceptor_.async_accept(
      [weak = weak_from_this()](const asio::error_code& error, asio::ip::tcp::socket socket) {
        const auto self = weak.lock();
        if (self == nullptr || !self->acceptor_.is_open()) return;
        if (!error) {
          socket.native_non_blocking(true);
          self->Distribute(AcceptedSocket(socket.release()));
          self->Accept();
          return;
        }
        // Usually there are no descriptors left: trying again at once would spin.
        LogWarn("cannot accept a connection", {{"error", error.message()}});
        self->pause_.expires_after(kAcceptPause);
        self->pause_.async_wait([weak](const asio::error_code&) {
          if (const auto again = weak.lock(); again != nullptr && again->acceptor_.is_open()) {
            again->Accept();
          }
        });
      });
}

void Listener::Impl::Stop() {
  RunOn(pool_.thread(0), [this] {
    asio::error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
  });
  // What was accepted before has been posted before.
  for (size_t i = 0; i < pool_.size(); ++i) {
    RunOn(pool_.thread(i), [this, i] { EndGreeters(pool_.thread(i)); });
  }
}

void Listener::Impl::RunOn(IoThread& thread, Task task) {
  std::promise<void> done;
  thread.Post([&] {
    task();
    done.set_value();
  });
  done.get_future().wait();
}

void Listener::Impl::Distribute(AcceptedSocket socket) {
  if (open_->load() >= options_.connections_max) {
    ++stats_.refused_full;
    return;
  }
  ++*open_;
  std::shared_ptr<void> slot(nullptr, [open = open_](void*) { --*open; });
  // In turn: that spreads even few connections evenly, unlike a hash of addresses.
  IoThread& thread = pool_.thread(next_thread_++ % pool_.size());
  thread.Post([weak = weak_from_this(), &thread, socket = std::move(socket),
               slot = std::move(slot)]() mutable {
    if (const auto self = weak.lock()) self->Greet(thread, std::move(socket), std::move(slot));
  });
}

void Listener::Impl::Greet(IoThread& thread, AcceptedSocket socket, std::shared_ptr<void> slot) {
  auto greeter = std::make_unique<Greeter>(*this, thread, socket.Release(), std::move(slot));
  Greeter* added = greeter.get();
  greeters_[thread.index()].emplace(added, std::move(greeter));
  added->Start();
}

void Listener::Impl::DropGreeters() { greeters_.clear(); }

void Listener::Impl::EndGreeters(IoThread& thread) {
  auto& greeters = greeters_[thread.index()];
  while (!greeters.empty()) greeters.begin()->first->End();
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
Listener::~Listener() { impl_->DropGreeters(); }
void Listener::AddProtocol(Protocol protocol) { impl_->AddProtocol(std::move(protocol)); }
void Listener::Start() { impl_->Start(); }
void Listener::Stop() { impl_->Stop(); }
void Listener::SetTls(std::shared_ptr<const TlsContext> tls) { impl_->SetTls(std::move(tls)); }
uint16_t Listener::port() const { return impl_->port(); }
const ListenerStats& Listener::stats() const { return impl_->stats(); }

}  // namespace mokv::net
