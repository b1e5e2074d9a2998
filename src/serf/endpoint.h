// Where a node is reached, as the protocol carries it: 4 or 16 address bytes and a port for both
// UDP and TCP. Compared byte by byte, as agents do: the same IPv4 address in its 16-byte form is
// another endpoint.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace mokv::serf {

struct Endpoint {
  std::string addr;
  uint16_t port = 0;

  auto operator<=>(const Endpoint&) const = default;
};

}  // namespace mokv::serf
