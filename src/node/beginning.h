// With what a node begins: the state that it has, a new cluster, or nothing, waiting to be added.
#pragma once

#include <optional>
#include <string>

#include "node/identity.h"

namespace mokv {

struct Beginning {
  bool bootstrap = false;  // Configured.
  bool has_state = false;  // The log has entries, or there is a snapshot.
};

// The id of the cluster that the node is to begin; nullopt: it goes on, or waits. Whoever has a
// cluster, or has lost what it had of one, begins none: it would be a second one. Logs which.
std::optional<std::string> NewClusterId(const Beginning& beginning, const std::string& data_dir,
                                        const Identity& identity);

}  // namespace mokv
