// Endpoints as Asio's addresses, and as text.
#pragma once

#include <absl/status/statusor.h>

#include <string>

#include <asio/ip/address.hpp>

#include "net/address.h"
#include "serf/endpoint.h"

namespace mokv::serf {

// An IPv4 address becomes 4 bytes, also when it is mapped into an IPv6 one. Peers compare addresses
// byte by byte, and a node that is bound to an IPv4 address announces 4 bytes.
std::string ToBytes(const asio::ip::address& address);
// For a socket of the given family; the bytes must be 4 or 16.
asio::ip::address ToAddress(const std::string& bytes, bool ipv6_socket);

std::string ToText(const Endpoint& endpoint);

// Resolves a name at once, on the caller's thread.
absl::StatusOr<Endpoint> Resolve(const net::HostPort& at);

}  // namespace mokv::serf
