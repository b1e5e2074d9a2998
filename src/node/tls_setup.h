// What a node's TLS settings come to: the contexts of both sides, and who may speak Raft.
//
// Errors: INVALID_ARGUMENT naming the file that does not do.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <vector>

#include "net/tls.h"
#include "node/config.h"

namespace mokv {

struct TlsSetup {
  // Both null when the node runs in clear text; the second also without peer certificate: then this
  // node can be dialed by others, but dials nobody.
  std::shared_ptr<const net::TlsContext> server;
  std::shared_ptr<const net::TlsContext> peer;
  std::vector<std::string> peer_allowed_names;
};

absl::StatusOr<TlsSetup> SetUpTls(const Config& config);

}  // namespace mokv
