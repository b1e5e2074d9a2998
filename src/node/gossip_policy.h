// GossipPolicy: what a node does about who gossips: whom it dials where, whether it asks
// start-join-addrs again, which nodes belong to another cluster, and what a leader asks of the
// cluster (reconciler.h).
//
// Threads: confined to the serf thread. Pure: time, and what is known, come in.
// Bounds:  remembers a little of each member that gossip keeps, and of those of the cluster.
#pragma once

#include <absl/status/status.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "node/reconciler.h"
#include "replica/peers.h"
#include "replica/report.h"
#include "serf/output.h"

namespace mokv {

// The value of a member's tag; empty: it has none.
std::string TagOf(const serf::Member& member, std::string_view name);

class GossipPolicy {
 public:
  struct Options {
    Reconciler::Options reconciler;
    bool has_join_addrs = false;
  };
  // What this node knows of its cluster at the moment of a look.
  struct Known {
    replica::ClusterView cluster;
    bool leads = false;
    std::map<std::string, bool> alive;  // Members that Raft has heard of lately, by name.
  };
  struct Decision {
    bool nodes_changed = false;       // nodes() is news.
    std::vector<GossipNode> foreign;  // Our nodes that belong to another cluster.
    bool join = false;                // Ask start-join-addrs again.
    std::vector<replica::AdminRequest> requests;
  };

  explicit GossipPolicy(Options options)
      : options_(std::move(options)), reconciler_(options_.reconciler) {}

  // To be called about once a second, and when something has changed.
  Decision Look(MonotonicTime now, const std::vector<serf::Member>& members, const Known& known);
  // How a request ended. True: its refusal is news, and operators should hear it.
  bool OnRequestDone(MonotonicTime now, const std::string& name, const absl::Status& status);

  // start-join-addrs are being asked, until one of them has answered.
  void OnJoining() { joining_ = true; }
  void OnJoined() { joining_ = false; }

  // Our nodes, as of the last look.
  const std::vector<GossipNode>& nodes() const { return nodes_; }

 private:
  bool IsAlive(std::string_view name) const;
  bool ShouldJoin(MonotonicTime now, const replica::ClusterView& cluster);

  const Options options_;
  Reconciler reconciler_;
  std::vector<GossipNode> nodes_;
  std::map<std::string, std::string> told_;  // The refusal that was told last, by node.
  bool joining_ = false;
  MonotonicTime next_join_;
};

}  // namespace mokv
