// What a node's TLS settings come to: the contexts of both sides, and who may speak Raft. A plain
// value; its contexts are immutable.
//
// Errors: INVALID_ARGUMENT naming the file that is wrong.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "net/tls.h"
#include "node/config.h"

namespace mokv {

struct TlsSetup {
  // Both are null when the node runs in clear text. Without a peer certificate `peer` is null: then
  // others can dial this node, but it dials nobody.
  std::shared_ptr<const net::TlsContext> server;
  std::shared_ptr<const net::TlsContext> peer;
  std::vector<std::string> peer_allowed_names;
  std::vector<std::string> warnings;  // About the settings.
};

// `in_use`: as net::TlsContext has it; null at the start.
absl::StatusOr<TlsSetup> SetUpTls(const Config& config, const TlsSetup* in_use = nullptr);

// All that people should see to, now; each once.
std::set<std::string> WarningsOf(const TlsSetup& setup);

}  // namespace mokv
