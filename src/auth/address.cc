#include "auth/address.h"

#include <algorithm>
#include <charconv>

namespace mokv::auth {
namespace {

constexpr std::array<uint8_t, 12> kV4Prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr int kV4PrefixBits = 96;

// The whole of `text` as a number of at most `digits` digits. Decimal ones without leading zeros.
std::optional<int> ParseNumber(std::string_view text, int base, size_t digits) {
  if (text.empty() || text.size() > digits) return std::nullopt;
  if (base == 10 && text.size() > 1 && text.front() == '0') return std::nullopt;
  int number = 0;
  const char* const end = text.data() + text.size();
  const auto [after, error] = std::from_chars(text.data(), end, number, base);
  if (error != std::errc() || after != end || number < 0) return std::nullopt;
  return number;
}

bool ParseV4(std::string_view text, uint8_t* bytes) {
  for (int i = 0; i < 4; ++i) {
    const size_t dot = i < 3 ? text.find('.') : text.size();
    if (dot == std::string_view::npos) return false;
    const std::optional<int> byte = ParseNumber(text.substr(0, dot), 10, 3);
    if (!byte.has_value() || *byte > 255) return false;
    bytes[i] = static_cast<uint8_t>(*byte);
    text.remove_prefix(std::min(dot + 1, text.size()));
  }
  return true;
}

// The groups of one side of "::", at most `room` bytes of them; their number of bytes, or -1.
int ParseGroups(std::string_view text, uint8_t* bytes, int room) {
  int used = 0;
  while (!text.empty()) {
    const size_t colon = text.find(':');
    const std::string_view group = text.substr(0, colon);
    if (colon == std::string_view::npos && group.find('.') != std::string_view::npos) {
      return used + 4 <= room && ParseV4(group, bytes + used) ? used + 4 : -1;
    }
    const std::optional<int> number = ParseNumber(group, 16, 4);
    if (!number.has_value() || used + 2 > room) return -1;
    bytes[used++] = static_cast<uint8_t>(*number >> 8);
    bytes[used++] = static_cast<uint8_t>(*number & 0xff);
    if (colon == std::string_view::npos) break;
    text.remove_prefix(colon + 1);
    if (text.empty()) return -1;  // A colon at the end.
  }
  return used;
}

bool ParseV6(std::string_view text, std::array<uint8_t, 16>& bytes) {
  const size_t gap = text.find("::");
  if (gap == std::string_view::npos) return ParseGroups(text, bytes.data(), 16) == 16;
  std::array<uint8_t, 16> after = {};
  // The dotted form stands at the end only, and the gap is at least one group of zeros.
  const std::string_view left = text.substr(0, gap);
  if (left.find('.') != std::string_view::npos) return false;
  const int head = ParseGroups(left, bytes.data(), 14);
  if (head < 0) return false;
  const int tail = ParseGroups(text.substr(gap + 2), after.data(), 14 - head);
  if (tail < 0) return false;
  std::copy_n(after.begin(), tail, bytes.end() - tail);
  return true;
}

bool IsSame(const Address& one, const Address& other) {
  if (one.is_v4 == other.is_v4) return one.bytes == other.bytes;
  const Address& v4 = one.is_v4 ? one : other;
  Address v6 = one.is_v4 ? other : one;
  if (v6.bytes[10] == 0 && v6.bytes[11] == 0) v6.bytes[10] = v6.bytes[11] = 0xff;
  return v6.bytes == v4.bytes;
}

}  // namespace

std::optional<Address> ParseAddress(std::string_view text) {
  Address address;
  if (text.find(':') != std::string_view::npos) {
    if (!ParseV6(text, address.bytes)) return std::nullopt;
  } else {
    address.is_v4 = true;
    std::copy(kV4Prefix.begin(), kV4Prefix.end(), address.bytes.begin());
    if (!ParseV4(text, address.bytes.data() + kV4Prefix.size())) return std::nullopt;
  }
  return address;
}

bool Network::Contains(const Address& other) const {
  if (!bits.has_value()) return IsSame(address, other);
  if (address.is_v4 && !other.is_v4) return false;
  // Casbin takes the mask of an IPv4 address for its four last bytes only, so ::ffff: stays.
  if (!address.is_v4 && other.is_v4 && *bits < kV4PrefixBits) return false;
  const size_t whole = static_cast<size_t>(*bits / 8);
  if (!std::equal(address.bytes.begin(), address.bytes.begin() + whole, other.bytes.begin())) {
    return false;
  }
  const int rest = *bits % 8;
  return rest == 0 || (address.bytes[whole] ^ other.bytes[whole]) >> (8 - rest) == 0;
}

std::optional<Network> ParseNetwork(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string_view written = text.substr(0, slash);
  const std::optional<Address> address = ParseAddress(written);
  if (!address.has_value()) return std::nullopt;
  Network network{.address = *address, .bits = std::nullopt};
  if (slash == std::string_view::npos) return network;
  const std::optional<int> bits = ParseNumber(text.substr(slash + 1), 10, 3);
  if (!bits.has_value() || *bits > (address->is_v4 ? 32 : 128)) return std::nullopt;
  network.bits = address->is_v4 ? kV4PrefixBits + *bits : *bits;
  return network;
}

}  // namespace mokv::auth
