#include "node/gossip_keys.h"

#include "base/file.h"
#include "base/status.h"
#include "serf/keyring_file.h"

namespace mokv {

absl::StatusOr<GossipKeys> LoadGossipKeys(const Config& config) {
  GossipKeys found;
  if (!config.serf_encrypt_key.empty()) {
    MOKV_ASSIGN_OR_RETURN(found.keys,
                          serf::ParseKeyringFile("[\"" + config.serf_encrypt_key + "\"]"));
    return found;
  }
  if (config.serf_keyring_file.empty()) return found;
  MOKV_ASSIGN_OR_RETURN(found.file_text, PosixFileSystem().ReadFile(config.serf_keyring_file));
  auto keys = serf::ParseKeyringFile(found.file_text);
  if (!keys.ok()) {
    return InvalidArgument("serf-keyring-file {}: {}", config.serf_keyring_file,
                           MessageOf(keys.status()));
  }
  found.keys = *std::move(keys);
  return found;
}

std::optional<absl::StatusOr<std::vector<std::string>>> KeyringWatch::OnText(std::string text) {
  if (text == text_) return std::nullopt;
  text_ = std::move(text);
  return serf::ParseKeyringFile(text_);
}

}  // namespace mokv
