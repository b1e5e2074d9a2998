// The keyring as a file, as agents keep theirs: a JSON list of base64 texts, the first encrypts.
//
// Threads: pure functions.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

namespace mokv::serf {

// Raw keys to text and back. INVALID_ARGUMENT says what is wrong, never what a key is.
std::string FormatKeyringFile(const std::vector<std::string>& keys);
absl::StatusOr<std::vector<std::string>> ParseKeyringFile(std::string_view text);

}  // namespace mokv::serf
