// The gossip's keys, as serf-encrypt-key or serf-keyring-file has them.
//
// Threads: reads a file on the caller's thread.
// Errors:  name the setting and the file; they never say what a key is.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "node/config.h"

namespace mokv {

// Raw; the first encrypts. None: no encryption.
absl::StatusOr<std::vector<std::string>> LoadGossipKeys(const Config& config);

}  // namespace mokv
