#include "net/acceptor.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>

#include "base/logging.h"
#include "base/status.h"

namespace mokv::net {
namespace {

// Between attempts while the process has no descriptors left: trying again at once would spin.
constexpr Duration kAcceptPause = std::chrono::milliseconds(50);
// While descriptors come back one at a time, and are gone again, they are still short.
constexpr Duration kEnoughAfter = std::chrono::seconds(1);
// People hear of it once, and now and then while it lasts.
constexpr Duration kWarnPause = std::chrono::minutes(1);

}  // namespace

Acceptor::Acceptor(IoThread& thread, Duration patience, ListenerStats& stats)
    : patience_(patience), stats_(stats), socket_(thread.context()), pause_(thread.context()) {
  KeepSpare();
}

Acceptor::~Acceptor() {
  if (spare_fd_ >= 0) close(spare_fd_);
}

absl::Status Acceptor::Listen(const HostPort& address) {
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
  socket_.open(endpoint.protocol(), error);
  if (!error) socket_.set_option(asio::ip::tcp::acceptor::reuse_address(true), error);
  if (!error) socket_.bind(endpoint, error);
  if (!error) socket_.listen(kBacklog, error);
  if (!error) socket_.native_non_blocking(true, error);
  if (!error) port_ = socket_.local_endpoint(error).port();
  if (error) return ErrnoStatus(error.value(), "cannot listen on " + address.ToString());
  return absl::OkStatus();
}

void Acceptor::Start(Take take) {
  take_ = std::move(take);
  Accept();
}

void Acceptor::Close() {
  asio::error_code ignored;
  socket_.close(ignored);
  pause_.cancel();
}

void Acceptor::Accept() {
  socket_.async_accept(
      [weak = weak_from_this()](const asio::error_code& error, asio::ip::tcp::socket socket) {
        const auto self = weak.lock();
        if (self == nullptr || !self->socket_.is_open()) return;
        if (error) return self->OnFailure(error);
        if (self->short_) self->OnSuccess();
        asio::error_code failure;
        socket.native_non_blocking(true, failure);
        if (!failure) self->take_(socket.release());
        self->Accept();
      });
}

// Usually there are no descriptors left, or no memory in the system.
void Acceptor::OnFailure(const asio::error_code& error) {
  ++stats_.accepts_failed;
  const auto now = std::chrono::steady_clock::now();
  failed_at_ = now;
  if (!short_) {
    short_ = true;
    short_since_ = now;
    turned_away_before_ = stats_.turned_away;
  }
  if (short_since_ == now || now - warned_at_ >= kWarnPause) {
    warned_at_ = now;
    LogWarn("cannot accept connections",
            {{"error", error.message()},
             {"turned_away", stats_.turned_away.load() - turned_away_before_}});
  }
  if (now - short_since_ >= patience_) TurnAway();
  pause_.expires_after(kAcceptPause);
  pause_.async_wait([weak = weak_from_this()](const asio::error_code&) {
    if (const auto self = weak.lock(); self != nullptr && self->socket_.is_open()) self->Accept();
  });
}

void Acceptor::OnSuccess() {
  if (std::chrono::steady_clock::now() - failed_at_ < kEnoughAfter) return;
  short_ = false;
  KeepSpare();
  LogInfo("connections are accepted again",
          {{"turned_away", stats_.turned_away.load() - turned_away_before_}});
}

void Acceptor::TurnAway() {
  KeepSpare();
  if (spare_fd_ < 0) return;
  close(std::exchange(spare_fd_, -1));
  for (int i = 0; i < kTurnedAwayAtOnceMax; ++i) {
    const int fd = accept4(socket_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) break;
    ++stats_.turned_away;  // By the time that the client hears of it.
    close(fd);
  }
  KeepSpare();
}

void Acceptor::KeepSpare() {
  if (spare_fd_ < 0) spare_fd_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

}  // namespace mokv::net
