#include "node/foreign_cluster.h"

#include <fmt/format.h>

#include <utility>

namespace mokv {

bool MayBeAMistake(const OwnCluster& own) {
  return own.began_here && own.told_of_others && own.revision == Revision(0) && own.members <= 1;
}

void ForeignCluster::OnForeignNode(const GossipNode& node) {
  if (!MayBeAMistake(parts_.own())) return;
  if (asks_.exchange(true)) return;
  parts_.identify(node.rpc_address, [this, rpc_address = node.rpc_address](
                                        const absl::StatusOr<replica::PeerIdentity>& found) {
    OnIdentified(rpc_address, found);
  });
}

void ForeignCluster::OnIdentified(const std::string& rpc_address,
                                  const absl::StatusOr<replica::PeerIdentity>& found) {
  // Somebody may have written since.
  const OwnCluster own = parts_.own();
  if (!MayBeAMistake(own) || !found.ok() || found->cluster_id.empty() ||
      found->cluster_id == own.cluster_id) {
    asks_ = false;
    return;
  }
  parts_.fence(fmt::format(
      "it began cluster {} although {} at {} is of cluster {}; stop it, move data-dir {} away, and "
      "start it without bootstrap; if it was a member there before, run mokvctl rebuild first",
      own.cluster_id, found->name, rpc_address, found->cluster_id, parts_.data_dir));
}

}  // namespace mokv
