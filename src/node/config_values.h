// Turns the texts of configuration values into typed values. Pure functions; they return no value
// if the text is not one of that kind. The caller, which knows the key, makes the error.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "net/address.h"

namespace mokv {

// Environment variables, as a value, so that tests need not change the process's own.
using Environment = std::map<std::string, std::string>;

// `true` and `false`, and YAML 1.1's other spellings (`yes`, `on`), in any case; `1` and `0`.
std::optional<bool> ParseBool(std::string_view text);

// Digits only: no sign, no spaces, no overflow.
std::optional<uint64_t> ParseUnsigned(std::string_view text);

// A whole number followed by `ms`, `s`, `m` or `h`; a bare 0 needs no unit.
std::optional<Duration> ParseDuration(std::string_view text);

// Bytes: a whole number, alone or followed by `KiB`, `MiB` or `GiB`.
std::optional<uint64_t> ParseSize(std::string_view text);

// `host:port` that can be listened on or dialled: a name or a literal address, IPv6 in brackets,
// and a port that is not 0.
std::optional<net::HostPort> ParseAddress(std::string_view text);

// Whether `host` means "all interfaces": nothing that anybody could dial.
bool IsWildcardHost(const std::string& host);

// Base64 of 16, 24 or 32 bytes (AES-128, -192, -256), padded, as Serf's tools write it.
bool IsGossipKey(std::string_view text);

// Replaces `$NAME`, `${NAME}` and a leading `~` (as in `~` or `~/x`); `$$` is one dollar. An unset
// variable or a lone dollar is InvalidArgument: an empty path must not come out of a typing error.
absl::StatusOr<std::string> ExpandVariables(std::string_view text, const Environment& environment);

}  // namespace mokv
