#include "net/listener.h"

#include <unistd.h>

#include <algorithm>
#include <future>
#include <map>
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/mutex.h"
#include "base/status.h"
#include "net/acceptor.h"

namespace mokv::net {
namespace {

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

// Counts something for as long as it lives.
std::shared_ptr<void> CountOne(std::shared_ptr<std::atomic<size_t>> counter) {
  ++*counter;
  return {nullptr, [counter = std::move(counter)](void*) { --*counter; }};
}

}  // namespace

// Only its Listener owns it. Tasks and handlers that are still queued when the pool has stopped
// must not keep it alive: it would outlive the I/O thread that its acceptor belongs to.
class Listener::Impl : public std::enable_shared_from_this<Listener::Impl> {
 public:
  Impl(IoPool& pool, Options options);
  ~Impl();

  absl::Status Bind() { return acceptor_->Listen(options_.address); }
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
  uint16_t port() const { return acceptor_->port(); }
  const ListenerStats& stats() const { return stats_; }

 private:
  class Greeter;
  // By their age.
  using Greeters = std::map<uint64_t, std::unique_ptr<Greeter>>;

  void Distribute(AcceptedSocket socket);
  // The position of the one that has the fewest connections; of several, each in turn.
  size_t LeastBusyThread();
  void Greet(IoThread& thread, AcceptedSocket socket, std::shared_ptr<void> busy);
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
  size_t handshakes_max_;  // Of a thread.
  ListenerStats stats_;
  std::shared_ptr<Acceptor> acceptor_;
  // By I/O thread; each touches only its own.
  std::vector<Greeters> greeters_;
  // Connections that there are: by I/O thread, of any kind; and of all threads, of a known protocol.
  std::vector<std::shared_ptr<std::atomic<size_t>>> busy_;
  std::shared_ptr<std::atomic<size_t>> open_ = std::make_shared<std::atomic<size_t>>(0);
  // Thread 0 only.
  size_t next_thread_ = 0;

  mutable Mutex mutex_;
  std::shared_ptr<const TlsContext> tls_ ABSL_GUARDED_BY(mutex_);
};

// A connection from accept until its protocol is known. The listener owns it; it may outlive the
// listener by a turn.
class Listener::Impl::Greeter final : public Transport::Handler {
 public:
  Greeter(Impl& listener, IoThread& thread, int fd, uint64_t number, std::shared_ptr<void> busy)
      : listener_(&listener),
        thread_(thread),
        number_(number),
        transport_(std::make_unique<Transport>(thread, fd, listener.tls())),
        timeout_(thread) {
    transport_->KeepHere(std::move(busy));
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
    std::shared_ptr<void> slot = CountOne(listener_->open_);
    if (*listener_->open_ > listener_->options_.connections_max) {
      ++listener_->stats_.refused_full;
      return End();
    }
    transport_->Keep(std::move(slot));
    ++listener_->stats_.accepted;
    protocol.accept(std::move(transport_), first_bytes_);
    Retire();
  }

  void Retire() {
    timeout_.Cancel();
    auto& greeters = listener_->greeters_[thread_.index()];
    const auto self = greeters.find(number_);
    MOKV_CHECK(self != greeters.end());
    thread_.DeleteSoon(std::move(self->second));
    greeters.erase(self);
  }

  Impl* listener_;
  IoThread& thread_;
  const uint64_t number_;
  std::unique_ptr<Transport> transport_;
  Timer timeout_;
  std::string first_bytes_;
};

Listener::Impl::Impl(IoPool& pool, Options options)
    : pool_(pool),
      options_(std::move(options)),
      handshakes_max_(std::max<size_t>(1, options_.handshakes_max / pool.size())),
      acceptor_(std::make_shared<Acceptor>(pool.thread(0), options_.accept_patience, stats_)),
      greeters_(pool.size()),
      tls_(std::exchange(options_.tls, nullptr)) {
  for (size_t i = 0; i < pool.size(); ++i) {
    busy_.push_back(std::make_shared<std::atomic<size_t>>(0));
  }
}

Listener::Impl::~Impl() = default;

void Listener::Impl::Start() {
  pool_.thread(0).Post([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self == nullptr) return;
    self->acceptor_->Start([weak](int fd) {
      AcceptedSocket socket(fd);
      if (const auto alive = weak.lock()) alive->Distribute(std::move(socket));
    });
  });
}

void Listener::Impl::Stop() {
  RunOn(pool_.thread(0), [this] { acceptor_->Close(); });
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
  // Before its handshake costs anything.
  if (*open_ >= options_.connections_max) {
    ++stats_.refused_full;
    return;
  }
  const size_t index = LeastBusyThread();
  IoThread& thread = pool_.thread(index);
  thread.Post([weak = weak_from_this(), &thread, socket = std::move(socket),
               busy = CountOne(busy_[index])]() mutable {
    if (const auto self = weak.lock()) self->Greet(thread, std::move(socket), std::move(busy));
  });
}

size_t Listener::Impl::LeastBusyThread() {
  size_t least = next_thread_;
  for (size_t i = 1; i < busy_.size(); ++i) {
    const size_t other = (next_thread_ + i) % busy_.size();
    if (*busy_[other] < *busy_[least]) least = other;
  }
  next_thread_ = (least + 1) % busy_.size();
  return least;
}

void Listener::Impl::Greet(IoThread& thread, AcceptedSocket socket, std::shared_ptr<void> busy) {
  Greeters& greeters = greeters_[thread.index()];
  if (greeters.size() >= handshakes_max_) {
    ++stats_.handshakes_crowded_out;
    greeters.begin()->second->End();
  }
  const uint64_t number = greeters.empty() ? 0 : greeters.rbegin()->first + 1;
  auto greeter =
      std::make_unique<Greeter>(*this, thread, socket.Release(), number, std::move(busy));
  Greeter* added = greeter.get();
  greeters.emplace(number, std::move(greeter));
  added->Start();
}

void Listener::Impl::DropGreeters() { greeters_.clear(); }

void Listener::Impl::EndGreeters(IoThread& thread) {
  auto& greeters = greeters_[thread.index()];
  while (!greeters.empty()) greeters.begin()->second->End();
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
