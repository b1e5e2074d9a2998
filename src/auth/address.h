// IP addresses and networks, as ipMatch compares them. Pure functions.
//
// IPv4 addresses are in dotted form without leading zeros (some programs read those as octal), IPv6
// ones as RFC 4291 writes them, without a zone. ::ffff:1.2.3.4 is the IPv4 address 1.2.3.4.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace mokv::auth {

struct Address {
  // An IPv4 address in the last four bytes, behind ::ffff:.
  std::array<uint8_t, 16> bytes = {};

  bool IsV4() const;
  bool operator==(const Address&) const = default;
};

std::optional<Address> ParseAddress(std::string_view text);

struct Network {
  Address address;
  int bits = 128;  // How many of the address's bits count, from the first.

  bool Contains(const Address& other) const;
};

// "ADDRESS" or "ADDRESS/BITS".
std::optional<Network> ParseNetwork(std::string_view text);

}  // namespace mokv::auth
