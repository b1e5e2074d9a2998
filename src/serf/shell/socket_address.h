// Endpoints as Asio's addresses, and as text.
#pragma once

#include <absl/status/statusor.h>

#include <string>

#include <asio/ip/address.hpp>

#include "net/address.h"
#include "serf/endpoint.h"

namespace mokv::serf {

// 4 bytes for IPv4, also in its mapped form: peers compare addresses byte by byte, and this is what
// a node that is bound to an IPv4 address says of itself.
std::string ToBytes(const asio::ip::address& address);
// For a socket of the given family; the bytes must be 4 or 16.
asio::ip::address ToAddress(const std::string& bytes, bool ipv6_socket);

std::string ToText(const Endpoint& endpoint);

// Resolves a name at once, on the caller's thread.
absl::StatusOr<Endpoint> Resolve(const net::HostPort& at);

}  // namespace mokv::serf
