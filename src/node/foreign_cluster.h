// ForeignCluster: what a node does when gossip shows it a node of another cluster.
//
// Then there are two clusters where one was meant. A node that has just begun one of its own, and
// is alone in it, must not take writes that nobody else will ever see: it fences itself. Gossip
// alone is not believed: the other node has to say over its own connection which cluster it belongs
// to.
//
// Threads: OnForeignNode is thread-safe. The functions of Parts are called on its caller's thread,
//          or on the thread on which `identify` answers.
// Owner:   node/. What Parts use must live until nobody calls OnForeignNode, and `identify` owes no
//          answer.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <string>

#include "base/ids.h"
#include "node/reconciler.h"
#include "replica/peers.h"

namespace mokv {

// What matters here of this node's own cluster.
struct OwnCluster {
  bool began_here = false;      // In this life of the process.
  bool told_of_others = false;  // Its configuration names nodes to join.
  Revision revision;
  size_t members = 0;
  std::string cluster_id;
};

// Whether this node's cluster may be the one that was not meant: it began here, nobody has written
// to it yet, and this node was told of others. A cluster that has data, or was first, is not the
// mistake.
bool MayBeAMistake(const OwnCluster& own);

class ForeignCluster {
 public:
  using Found = absl::AnyInvocable<void(absl::StatusOr<replica::PeerIdentity> found)>;
  struct Parts {
    std::function<OwnCluster()> own;
    // Asks who is at an address, over a verified connection.
    std::function<void(const std::string& rpc_address, Found found)> identify;
    // With what happened and what to do.
    std::function<void(const std::string& reason)> fence;
    std::string data_dir;
  };

  explicit ForeignCluster(Parts parts) : parts_(std::move(parts)) {}

  void OnForeignNode(const GossipNode& node);

 private:
  void OnIdentified(const std::string& rpc_address,
                    const absl::StatusOr<replica::PeerIdentity>& found);

  const Parts parts_;
  std::atomic<bool> asks_{false};  // Asks one node at a time; stays set once it has fenced.
};

}  // namespace mokv
