#include "serf/shell/datagrams.h"

#include <vector>

#include <asio/buffer.hpp>
#include <asio/ip/udp.hpp>

#include "base/status.h"
#include "serf/shell/socket_address.h"

namespace mokv::serf {
namespace {

constexpr size_t kDatagramBytesMax = 65536;
// As agents ask for: a burst of gossip must outlast a moment in which this thread does not run.
constexpr int kReceiveBufferBytes = 2 << 20;

}  // namespace

class Datagrams::Impl : public std::enable_shared_from_this<Impl> {
 public:
  explicit Impl(net::IoThread& thread) : socket_(thread.context()), buffer_(kDatagramBytesMax) {}

  absl::Status Open(const Endpoint& bind) {
    const asio::ip::udp::endpoint at(ToAddress(bind.addr, bind.addr.size() == 16), bind.port);
    asio::error_code error;
    socket_.open(at.protocol(), error);
    if (!error) socket_.non_blocking(true, error);
    if (!error) socket_.bind(at, error);
    if (error) return ErrnoStatus(error.value(), "UDP " + ToText(bind));
    asio::error_code ignored;
    socket_.set_option(asio::socket_base::receive_buffer_size(kReceiveBufferBytes), ignored);
    is_ipv6_ = at.address().is_v6();
    return absl::OkStatus();
  }

  void Start(OnPacket on_packet, std::function<void()> on_turn) {
    on_packet_ = std::move(on_packet);
    on_turn_ = std::move(on_turn);
    Wait();
  }

  bool Send(const Endpoint& to, std::string_view packet) {
    const asio::ip::udp::endpoint at(ToAddress(to.addr, is_ipv6_), to.port);
    if (at.address().is_v6() != is_ipv6_) return false;
    asio::error_code error;
    socket_.send_to(asio::buffer(packet.data(), packet.size()), at, 0, error);
    return !error;
  }

  void Close() {
    asio::error_code ignored;
    socket_.close(ignored);
    on_packet_ = nullptr;
    on_turn_ = nullptr;
  }

 private:
  void Wait() {
    socket_.async_wait(asio::socket_base::wait_read,
                       [self = shared_from_this()](const asio::error_code& error) {
                         if (error || !self->socket_.is_open()) return;
                         self->ReadAvailable();
                       });
  }

  void ReadAvailable() {
    for (int i = 0; i < kPacketsPerTurnMax && socket_.is_open(); ++i) {
      asio::ip::udp::endpoint from;
      asio::error_code error;
      const size_t size = socket_.receive_from(asio::buffer(buffer_), from, 0, error);
      if (error) break;
      on_packet_({ToBytes(from.address()), from.port()}, {buffer_.data(), size});
    }
    if (on_turn_) on_turn_();
    if (socket_.is_open()) Wait();
  }

  asio::ip::udp::socket socket_;
  bool is_ipv6_ = false;
  std::vector<char> buffer_;
  OnPacket on_packet_;
  std::function<void()> on_turn_;
};

Datagrams::Datagrams(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Datagrams::~Datagrams() { impl_->Close(); }

absl::StatusOr<std::unique_ptr<Datagrams>> Datagrams::Open(net::IoThread& thread,
                                                           const Endpoint& bind) {
  auto impl = std::make_shared<Impl>(thread);
  MOKV_RETURN_IF_ERROR(impl->Open(bind));
  return std::unique_ptr<Datagrams>(new Datagrams(std::move(impl)));
}

void Datagrams::Start(OnPacket on_packet, std::function<void()> on_turn) {
  impl_->Start(std::move(on_packet), std::move(on_turn));
}
bool Datagrams::Send(const Endpoint& to, std::string_view packet) {
  return impl_->Send(to, packet);
}
void Datagrams::Close() { impl_->Close(); }

}  // namespace mokv::serf
