#include "net/connector.h"

#include <utility>
#include <vector>

#include <asio/ip/tcp.hpp>

#include "base/status.h"
#include "net/connect_race.h"

namespace mokv::net {

// Handlers that Asio still has to call keep it alive. They do nothing once their attempt has ended.
class Connector::Impl : public std::enable_shared_from_this<Connector::Impl> {
 public:
  explicit Impl(IoThread& thread) : thread_(thread), resolver_(thread.context()) {}

  void Start(const HostPort& target, std::shared_ptr<const TlsContext> tls, Done done) {
    Cancel();
    resolved_ = false;
    target_ = target;
    tls_ = std::move(tls);
    done_ = std::move(done);
    asio::error_code not_literal;
    const asio::ip::address literal = asio::ip::make_address(target.host, not_literal);
    if (!not_literal) {
      Connect(asio::ip::tcp::resolver::results_type::create(
          asio::ip::tcp::endpoint(literal, target.port), target.host, ""));
      return;
    }
    resolver_.async_resolve(
        target.host, std::to_string(target.port),
        [self = shared_from_this(), attempt = attempt_](
            const asio::error_code& error, const asio::ip::tcp::resolver::results_type& found) {
          if (attempt != self->attempt_) return;
          if (error) {
            self->Finish(Unavailable("cannot resolve {}: {}", self->target_.host, error.message()));
          } else {
            self->Connect(found);
          }
        });
  }

  void Cancel() {
    ++attempt_;
    done_ = nullptr;
    resolver_.cancel();
    if (race_ != nullptr) race_->Cancel();
    race_ = nullptr;
  }

  bool resolved() const { return resolved_; }

 private:
  void Connect(const asio::ip::tcp::resolver::results_type& endpoints) {
    resolved_ = true;
    std::vector<asio::ip::tcp::endpoint> addresses;
    for (const auto& found : endpoints) addresses.push_back(found.endpoint());
    race_ = std::make_shared<ConnectRace>(thread_);
    race_->Start(
        std::move(addresses), [self = shared_from_this()](const asio::error_code& error, int fd) {
          self->race_ = nullptr;
          if (error) {
            self->Finish(
                Unavailable("cannot connect to {}: {}", self->target_.ToString(), error.message()));
          } else {
            self->Finish(std::make_unique<Transport>(self->thread_, fd, self->tls_));
          }
        });
  }

  void Finish(absl::StatusOr<std::unique_ptr<Transport>> transport) {
    ++attempt_;
    Done done = std::exchange(done_, nullptr);
    done(std::move(transport));
  }

  IoThread& thread_;
  HostPort target_;
  std::shared_ptr<const TlsContext> tls_;
  Done done_;
  asio::ip::tcp::resolver resolver_;
  std::shared_ptr<ConnectRace> race_;  // While one is under way.
  uint64_t attempt_ = 0;
  bool resolved_ = false;
};

Connector::Connector(IoThread& thread) : impl_(std::make_shared<Impl>(thread)) {}
Connector::~Connector() { impl_->Cancel(); }
void Connector::Start(const HostPort& target, std::shared_ptr<const TlsContext> tls, Done done) {
  impl_->Start(target, std::move(tls), std::move(done));
}
void Connector::Cancel() { impl_->Cancel(); }
bool Connector::resolved() const { return impl_->resolved(); }

}  // namespace mokv::net
