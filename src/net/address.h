// Host and port as people write them: `127.0.0.1:8400`, `[::1]:8400`, `node1.example:8400`. Plain
// values and pure functions.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>

struct sockaddr_storage;

namespace mokv::net {

struct HostPort {
  std::string host;  // Without brackets.
  uint16_t port = 0;

  // Brackets around an IPv6 host.
  std::string ToString() const;
  bool operator==(const HostPort&) const = default;
};

// INVALID_ARGUMENT naming the text when it is not HOST:PORT.
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);

// The address of a connected or bound socket.
std::string FormatSocketAddress(const sockaddr_storage& address);

}  // namespace mokv::net
