#include "serf/shell/socket_address.h"

#include <cstring>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>

#include "base/check.h"
#include "base/status.h"

namespace mokv::serf {
namespace {

template <typename Bytes>
std::string AsString(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string ToBytes(const asio::ip::address& address) {
  if (address.is_v4()) return AsString(address.to_v4().to_bytes());
  const asio::ip::address_v6 v6 = address.to_v6();
  if (!v6.is_v4_mapped()) return AsString(v6.to_bytes());
  return AsString(asio::ip::make_address_v4(asio::ip::v4_mapped, v6).to_bytes());
}

asio::ip::address ToAddress(const std::string& bytes, bool ipv6_socket) {
  if (bytes.size() == 4) {
    asio::ip::address_v4::bytes_type raw;
    std::memcpy(raw.data(), bytes.data(), raw.size());
    const asio::ip::address_v4 v4(raw);
    if (ipv6_socket) return asio::ip::make_address_v6(asio::ip::v4_mapped, v4);
    return v4;
  }
  MOKV_CHECK_EQ(bytes.size(), size_t{16});
  asio::ip::address_v6::bytes_type raw;
  std::memcpy(raw.data(), bytes.data(), raw.size());
  const asio::ip::address_v6 v6(raw);
  if (!ipv6_socket && v6.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, v6);
  return v6;
}

std::string ToText(const Endpoint& endpoint) {
  if (endpoint.addr.size() != 4 && endpoint.addr.size() != 16) return "?";
  const asio::ip::address address = ToAddress(endpoint.addr, /*ipv6_socket=*/false);
  return net::HostPort{address.to_string(), endpoint.port}.ToString();
}

absl::StatusOr<Endpoint> Resolve(const net::HostPort& at) {
  asio::error_code error;
  const asio::ip::address literal = asio::ip::make_address(at.host, error);
  if (!error) return Endpoint{ToBytes(literal), at.port};
  asio::io_context context;
  asio::ip::tcp::resolver resolver(context);
  const auto found = resolver.resolve(at.host, std::to_string(at.port), error);
  if (error || found.empty()) {
    return Unavailable("cannot resolve {}: {}", at.host, error.message());
  }
  return Endpoint{ToBytes(found.begin()->endpoint().address()), at.port};
}

}  // namespace mokv::serf
