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
  MOKV_ASSIGN_OR_RETURN(const std::string text,
                        PosixFileSystem().ReadFile(config.serf_keyring_file));
  auto keys = serf::ParseKeyringFile(text);
  if (!keys.ok()) {
    return InvalidArgument("serf-keyring-file {}: {}", config.serf_keyring_file,
                           MessageOf(keys.status()));
  }
  found.keys = *std::move(keys);
  return found;
}

}  // namespace mokv
