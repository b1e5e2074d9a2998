#include "net/connect_race.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace mokv::net {

std::vector<asio::ip::tcp::endpoint> InTurns(std::vector<asio::ip::tcp::endpoint> endpoints) {
  for (size_t i = 1; i < endpoints.size(); ++i) {
    const auto other = [&before = endpoints[i - 1]](const asio::ip::tcp::endpoint& endpoint) {
      return endpoint.address().is_v6() != before.address().is_v6();
    };
    const auto place = endpoints.begin() + static_cast<ptrdiff_t>(i);
    const auto next = std::find_if(place, endpoints.end(), other);
    if (next == endpoints.end()) break;  // The rest is of one family.
    std::rotate(place, next, next + 1);
  }
  return endpoints;
}

void ConnectRace::Start(std::vector<asio::ip::tcp::endpoint> endpoints, Done done) {
  MOKV_CHECK(!endpoints.empty() && endpoints_.empty());
  endpoints_ = InTurns(std::move(endpoints));
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
  asio::error_code failure = error;
  if (!failure) connected.native_non_blocking(true, failure);
  if (!failure) return Finish(failure, connected.release());
  if (next_ < endpoints_.size()) {
    TryNext();
  } else if (sockets_.empty()) {
    Finish(failure, -1);
  }
}

void ConnectRace::Finish(const asio::error_code& error, int fd) {
  Done done = std::move(done_);
  Cancel();  // The others.
  done(error, fd);
}

}  // namespace mokv::net
