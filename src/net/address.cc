#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <charconv>

#include "base/status.h"

namespace mokv::net {

std::string HostPort::ToString() const {
  if (host.find(':') != std::string::npos) return fmt::format("[{}]:{}", host, port);
  return fmt::format("{}:{}", host, port);
}

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  const auto error = [&](std::string_view reason) {
    return InvalidArgument("'{}' is not HOST:PORT: {}", text, reason);
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return error("no port");
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  if (host.starts_with('[')) {
    if (!host.ends_with(']')) return error("no ']' before the port");
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return error("an IPv6 host needs brackets");
  }
  if (host.empty()) return error("no host");
  if (host.find_first_of("[]") != std::string_view::npos) return error("a bracket in the host");
  unsigned port = 0;
  const auto [end, error_code] =
      std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (error_code != std::errc() || end != port_text.data() + port_text.size() || port > 65535) {
    return error("the port is not a number up to 65535");
  }
  return HostPort{std::string(host), static_cast<uint16_t>(port)};
}

std::string FormatSocketAddress(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
    return HostPort{text, ntohs(v4.sin_port)}.ToString();
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
    return HostPort{text, ntohs(v6.sin6_port)}.ToString();
  }
  return "unknown";
}

}  // namespace mokv::net
