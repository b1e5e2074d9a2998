#include "node/gossip_keys.h"

#include "base/file.h"
#include "base/status.h"
#include "serf/keyring_file.h"

namespace mokv {

absl::StatusOr<std::vector<std::string>> LoadGossipKeys(const Config& config) {
  if (!config.serf_encrypt_key.empty()) {
    return serf::ParseKeyringFile("[\"" + config.serf_encrypt_key + "\"]");
  }
  if (config.serf_keyring_file.empty()) return std::vector<std::string>();
  MOKV_ASSIGN_OR_RETURN(const std::string text,
                        PosixFileSystem().ReadFile(config.serf_keyring_file));
  auto keys = serf::ParseKeyringFile(text);
  if (keys.ok()) return keys;
  return InvalidArgument("serf-keyring-file {}: {}", config.serf_keyring_file,
                         MessageOf(keys.status()));
}

}  // namespace mokv
