// The gossip's keys, as serf-encrypt-key or serf-keyring-file has them.
//
// Threads: LoadGossipKeys reads a file on the caller's thread. KeyringWatch is confined to one
//          thread.
// Errors:  name the setting and the file; they never say what a key is.
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "node/config.h"

namespace mokv {

struct GossipKeys {
  std::vector<std::string> keys;  // Raw; the first encrypts. None: no encryption.
  std::string file_text;          // The text that they were read from; empty: there is no file.
};

absl::StatusOr<GossipKeys> LoadGossipKeys(const Config& config);

// Notices when the keyring file has another text than the one that is in use.
class KeyringWatch {
 public:
  KeyringWatch() = default;
  explicit KeyringWatch(std::string text) : text_(std::move(text)) {}

  // The keys of `text`, or why they cannot be used; nullopt if the last call had the same text.
  std::optional<absl::StatusOr<std::vector<std::string>>> OnText(std::string text);

 private:
  std::string text_;
};

}  // namespace mokv
