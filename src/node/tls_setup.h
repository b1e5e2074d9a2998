// What a node's TLS settings come to: the contexts of both sides, and who may speak Raft. A plain
// value; its contexts are immutable.
//
// Errors: INVALID_ARGUMENT naming the file that is wrong.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
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
};

absl::StatusOr<TlsSetup> SetUpTls(const Config& config);

}  // namespace mokv
