#include "serf/shell/datagrams.h"

#include <asio/buffer.hpp>

#include "base/status.h"
#include "serf/shell/socket_address.h"

namespace mokv::serf {
namespace {

constexpr size_t kDatagramBytesMax = 65536;
// As agents ask for: a burst of gossip must outlast a moment in which this thread does not run.
constexpr int kReceiveBufferBytes = 2 << 20;

}  // namespace

Datagrams::Datagrams(net::IoThread& thread)
    : socket_(thread.context()), buffer_(kDatagramBytesMax) {}

absl::StatusOr<std::shared_ptr<Datagrams>> Datagrams::Open(net::IoThread& thread,
                                                           const Endpoint& bind) {
  std::shared_ptr<Datagrams> datagrams(new Datagrams(thread));
  MOKV_RETURN_IF_ERROR(datagrams->Bind(bind));
  return datagrams;
}

absl::Status Datagrams::Bind(const Endpoint& bind) {
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

void Datagrams::Start(OnPacket on_packet, std::function<void()> on_turn) {
  on_packet_ = std::move(on_packet);
  on_turn_ = std::move(on_turn);
  Wait();
}

bool Datagrams::Send(const Endpoint& to, std::string_view packet) {
  const asio::ip::udp::endpoint at(ToAddress(to.addr, is_ipv6_), to.port);
  if (at.address().is_v6() != is_ipv6_) return false;
  asio::error_code error;
  socket_.send_to(asio::buffer(packet.data(), packet.size()), at, 0, error);
  return !error;
}

void Datagrams::Close() {
  asio::error_code ignored;
  socket_.close(ignored);
  on_packet_ = nullptr;
  on_turn_ = nullptr;
}

void Datagrams::Wait() {
  socket_.async_wait(asio::socket_base::wait_read,
                     [self = shared_from_this()](const asio::error_code& error) {
                       if (error || !self->socket_.is_open()) return;
                       self->ReadAvailable();
                     });
}

void Datagrams::ReadAvailable() {
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

}  // namespace mokv::serf
