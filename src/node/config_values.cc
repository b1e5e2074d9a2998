#include "node/config_values.h"

#include <absl/strings/escaping.h>
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <limits>

#include "base/status.h"

namespace mokv {
namespace {

constexpr size_t kHostBytesMax = 253;  // The longest DNS name.

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameChar(char c) { return IsLetter(c) || IsDigit(c) || c == '_'; }

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

struct Unit {
  std::string_view suffix;
  uint64_t factor;
};

// `text` is a whole number and the suffix of one of `units`. A product over `max` is no value.
template <size_t N>
std::optional<uint64_t> ParseWithUnit(std::string_view text, const std::array<Unit, N>& units,
                                      uint64_t max) {
  const auto digits_end = std::find_if_not(text.begin(), text.end(), IsDigit);
  const auto digits = static_cast<size_t>(digits_end - text.begin());
  const std::optional<uint64_t> number = ParseUnsigned(text.substr(0, digits));
  if (!number.has_value()) return std::nullopt;
  for (const Unit& unit : units) {
    if (text.substr(digits) != unit.suffix) continue;
    if (*number > max / unit.factor) return std::nullopt;
    return *number * unit.factor;
  }
  return std::nullopt;
}

bool IsIpv4(const std::string& host) {
  in_addr address;
  return inet_pton(AF_INET, host.c_str(), &address) == 1;
}

bool IsIpv6(const std::string& host) {
  in6_addr address;
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

bool IsHostName(const std::string& host) {
  if (host.empty() || host.size() > kHostBytesMax) return false;
  const auto allowed = [](char c) { return IsNameChar(c) || c == '-' || c == '.'; };
  if (!std::all_of(host.begin(), host.end(), allowed)) return false;
  // Nobody's name ends in a number (RFC 1123, 2.1): this is an address with an error in it.
  return !IsDigit(host.back()) || std::any_of(host.begin(), host.end(), IsLetter);
}

absl::StatusOr<std::string> Variable(const std::string& name, const Environment& environment) {
  const auto found = environment.find(name);
  if (found == environment.end()) {
    return InvalidArgument("the environment variable {} is not set", name);
  }
  return found->second;
}

}  // namespace

std::optional<bool> ParseBool(std::string_view text) {
  const std::string lower = Lower(text);
  if (lower == "true" || lower == "yes" || lower == "on" || lower == "1") return true;
  if (lower == "false" || lower == "no" || lower == "off" || lower == "0") return false;
  return std::nullopt;
}

std::optional<uint64_t> ParseUnsigned(std::string_view text) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

std::optional<Duration> ParseDuration(std::string_view text) {
  static constexpr std::array<Unit, 4> kUnits = {
      {{"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000}}};
  if (text == "0") return Duration::zero();
  const std::optional<uint64_t> nanoseconds =
      ParseWithUnit(text, kUnits, static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
  if (!nanoseconds.has_value()) return std::nullopt;
  return Duration(static_cast<int64_t>(*nanoseconds));
}

std::optional<uint64_t> ParseSize(std::string_view text) {
  static constexpr std::array<Unit, 4> kUnits = {{{"", 1},
                                                  {"KiB", uint64_t{1} << 10},
                                                  {"MiB", uint64_t{1} << 20},
                                                  {"GiB", uint64_t{1} << 30}}};
  return ParseWithUnit(text, kUnits, std::numeric_limits<uint64_t>::max());
}

std::optional<net::HostPort> ParseAddress(std::string_view text) {
  absl::StatusOr<net::HostPort> address = net::ParseHostPort(text);
  if (!address.ok() || address->port == 0) return std::nullopt;
  const bool is_host = text.starts_with('[') ? IsIpv6(address->host)
                                             : IsIpv4(address->host) || IsHostName(address->host);
  if (!is_host) return std::nullopt;
  return *std::move(address);
}

bool IsWildcardHost(const std::string& host) {
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return v4.s_addr == INADDR_ANY;
  in6_addr v6;
  if (inet_pton(AF_INET6, host.c_str(), &v6) != 1) return false;
  // `::ffff:0.0.0.0` is IPv4's wildcard in IPv6's clothes.
  if (IN6_IS_ADDR_V4MAPPED(&v6))
    return std::all_of(v6.s6_addr + 12, v6.s6_addr + 16, std::logical_not<>());
  return IN6_IS_ADDR_UNSPECIFIED(&v6);
}

bool IsGossipKey(std::string_view text) {
  // Abseil's decoder forgives missing padding and inner spaces; Go's, which Serf uses, does not.
  const auto allowed = [](char c) {
    return IsLetter(c) || IsDigit(c) || c == '+' || c == '/' || c == '=';
  };
  if (text.size() % 4 != 0 || !std::all_of(text.begin(), text.end(), allowed)) return false;
  std::string bytes;
  if (!absl::Base64Unescape(absl::string_view(text.data(), text.size()), &bytes)) return false;
  return bytes.size() == 16 || bytes.size() == 24 || bytes.size() == 32;
}

absl::StatusOr<std::string> ExpandVariables(std::string_view text, const Environment& environment) {
  std::string expanded;
  if (text == "~" || text.starts_with("~/")) {
    MOKV_ASSIGN_OR_RETURN(expanded, Variable("HOME", environment));
    text.remove_prefix(1);
  }
  while (true) {
    const size_t dollar = text.find('$');
    expanded += text.substr(0, dollar);
    if (dollar == std::string_view::npos) return expanded;
    text.remove_prefix(dollar + 1);
    if (text.starts_with('$')) {
      expanded += '$';
      text.remove_prefix(1);
      continue;
    }
    const bool braced = text.starts_with('{');
    if (braced) text.remove_prefix(1);
    const auto name_end = std::find_if_not(text.begin(), text.end(), IsNameChar);
    const std::string name(text.begin(), name_end);
    text.remove_prefix(name.size());
    if (name.empty() || IsDigit(name.front()) || (braced && !text.starts_with('}'))) {
      return InvalidArgument("a dollar must start a variable, $NAME or ${{NAME}}, or be doubled");
    }
    if (braced) text.remove_prefix(1);
    MOKV_ASSIGN_OR_RETURN(const std::string value, Variable(name, environment));
    expanded += value;
  }
}

}  // namespace mokv
