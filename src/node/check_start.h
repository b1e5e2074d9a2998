// `--check-config`: whether a node with this configuration would start, as far as can be told
// without starting it and without changing anything.
//
// Errors: those of the start, naming setting and file.
#pragma once

#include <absl/status/statusor.h>

#include <set>
#include <string>

#include "node/config.h"

namespace mokv {

// Loads certificates, keys, revocation lists, model, policy and gossip keys, looks at the audit
// log's file, reads whose data-dir it is, and binds each port for a moment, unless a node that runs
// with this configuration has them. What people should see to although it would start: warnings.
absl::StatusOr<std::set<std::string>> CheckStart(const Config& config);

}  // namespace mokv
