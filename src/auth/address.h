// IP addresses and networks, as ipMatch compares them. Pure functions.
//
// IPv4 addresses are in dotted form without leading zeros (some programs read those as octal), IPv6
// ones as RFC 4291 writes them, without a zone.
//
// As in node-casbin, ::1.2.3.4 and ::ffff:1.2.3.4 are the address 1.2.3.4, but are in no network of IPv4
// ones; and ::ffff:0:0/96, with all networks in it, has IPv4 addresses, which larger ones have not.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace mokv::auth {

struct Address {
  // An IPv4 address in the last four bytes, behind ::ffff:.
  std::array<uint8_t, 16> bytes = {};
  bool is_v4 = false;  // That is, written as one.
};

std::optional<Address> ParseAddress(std::string_view text);

struct Network {
  Address address;
  std::optional<int>
      bits;  // How many of the address's 128 count, from the first; none: an address.

  bool Contains(const Address& other) const;
};

// "ADDRESS" or "ADDRESS/BITS".
std::optional<Network> ParseNetwork(std::string_view text);

}  // namespace mokv::auth
