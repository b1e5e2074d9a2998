#include "net/connect_race.h"

#include <utility>

#include "base/check.h"

namespace mokv::net {

void ConnectRace::Start(std::vector<asio::ip::tcp::endpoint> endpoints, Done done) {
  MOKV_CHECK(!endpoints.empty() && endpoints_.empty());
  endpoints_ = std::move(endpoints);
  if (endpoints_.size() > kAddressesMax) endpoints_.resize(kAddressesMax);
  done_ = std::move(done);
  TryNext();
}

void ConnectRace::Cancel() {
  done_ = nullptr;
  next_timer_.Cancel();
  asio::error_code ignored;
  for (asio::ip::tcp::socket& socket : sockets_) socket.close(ignored);
}

void ConnectRace::TryNext() {
  MOKV_CHECK_LT(next_, endpoints_.size());
  next_timer_.Cancel();  // One that failed at once has left it running.
  const auto socket = sockets_.emplace(sockets_.end(), thread_.context());
  socket->async_connect(endpoints_[next_++],
                        [self = shared_from_this(), socket](const asio::error_code& error) {
                          self->OnConnected(socket, error);
                        });
  if (next_ == endpoints_.size()) return;
  next_timer_.Start(kNextAfter, [weak = weak_from_this()] {
    if (const auto self = weak.lock(); self != nullptr && self->done_ != nullptr) self->TryNext();
  });
}

void ConnectRace::OnConnected(Sockets::iterator socket, const asio::error_code& error) {
  asio::ip::tcp::socket connected = std::move(*socket);
  sockets_.erase(socket);
  if (done_ == nullptr) return;
  if (!error) {
    connected.native_non_blocking(true);
    return Finish(error, connected.release());
  }
  if (next_ < endpoints_.size()) {
    TryNext();
  } else if (sockets_.empty()) {
    Finish(error, -1);
  }
}

void ConnectRace::Finish(const asio::error_code& error, int fd) {
  Done done = std::move(done_);
  Cancel();  // The others.
  done(error, fd);
}

}  // namespace mokv::net
