#include "node/beginning.h"

#include <absl/strings/str_join.h>

#include "base/logging.h"
#include "base/random.h"

namespace mokv {

std::optional<std::string> NewClusterId(const Beginning& beginning, const std::string& data_dir,
                                        const Identity& identity) {
  const bool is_rebuilt = !identity.replaces.empty();
  if (beginning.bootstrap && beginning.has_state) {
    LogInfo("bootstrap is ignored: the data directory already has state",
            {{"data-dir", data_dir}, {"cluster", identity.cluster_id}});
  } else if (beginning.bootstrap && is_rebuilt) {
    LogInfo("bootstrap is ignored: the data directory was made by mokvctl rebuild",
            {{"data-dir", data_dir}});
  } else if (beginning.bootstrap && !identity.cluster_id.empty()) {
    LogInfo("bootstrap is ignored: the data directory belongs to a cluster already",
            {{"data-dir", data_dir}, {"cluster", identity.cluster_id}});
  } else if (beginning.bootstrap) {
    return NewUniqueId();
  }
  if (is_rebuilt) {
    LogInfo("this node was rebuilt: it waits until the leader puts it in the place of what it was",
            {{"node", identity.node_name},
             {"instance", identity.instance_id},
             {"replaces", absl::StrJoin(identity.replaces, " ")}});
  } else if (!beginning.has_state && !beginning.bootstrap) {
    LogInfo("no state yet and bootstrap is off: waiting to be added to a cluster",
            {{"node", identity.node_name}});
  }
  return std::nullopt;
}

}  // namespace mokv
