// The gossip's keys, as serf-encrypt-key or serf-keyring-file has them.
//
// Errors: names the setting and the file.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "node/config.h"

namespace mokv {

struct GossipKeys {
  std::vector<std::string> keys;  // Raw; the first encrypts. None: no encryption.
  std::string file_text;          // That they were read from: what the watch compares with.
};

absl::StatusOr<GossipKeys> LoadGossipKeys(const Config& config);

}  // namespace mokv
