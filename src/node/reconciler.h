// Reconciler: what a leader does about the difference between who gossips and who is a member.
//
// Gossip suggests; Raft and mutual TLS decide. The outcome is a list of requests to the replica,
// which asks each new node over a verified connection who it is. The leader looks again and again,
// so that no event of gossip can be missed.
//
// Threads: confined to the serf thread. Pure: the time comes in.
// Bounds:  remembers a little of each member that gossip keeps, and of those of the cluster.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "replica/peers.h"
#include "replica/report.h"

namespace mokv {

// The tags that our nodes have (docs/serf.md); others are shown and left alone.
inline constexpr std::string_view kRoleTag = "role";
inline constexpr std::string_view kRole = "mokv";
inline constexpr std::string_view kRpcAddressTag = "rpc_addr";
inline constexpr std::string_view kClusterTag = "cluster";
inline constexpr std::string_view kInstanceTag = "instance";
inline constexpr std::string_view kVersionTag = "version";
inline constexpr std::string_view kGroupTag = "group";

// One of our nodes, as gossip has it.
struct GossipNode {
  enum class State { kAlive, kLeft, kFailed };
  std::string name;
  State state = State::kAlive;
  std::string rpc_address;
  std::string cluster_id;  // Empty: it belongs to none yet.
  std::string instance_id;

  bool operator==(const GossipNode&) const = default;
};

class Reconciler {
 public:
  struct Options {
    std::string own_name;
    Duration left_timeout{0};  // 0: never.
    Duration dead_timeout{0};
    // How long a node that was refused, or could not be reached, is not asked for again.
    Duration retry_interval = std::chrono::seconds(5);
    // Requests under way at the same time. Without a key anybody can invent members, and each one
    // is dialed and asked who it is.
    size_t in_progress_max = 8;
  };

  explicit Reconciler(Options options) : options_(std::move(options)) {}

  // To be called about once a second, and when something has changed. Asks for something only while
  // this node `leads`; the timeouts begin anew with each leadership. `alive`: the members that Raft
  // has heard of lately, by name.
  std::vector<replica::AdminRequest> Look(MonotonicTime now, bool leads,
                                          const replica::ClusterView& view,
                                          const std::vector<GossipNode>& gossip,
                                          const std::map<std::string, bool>& alive);
  // How the request about `name` has ended. Until then there is no other about it.
  void OnDone(MonotonicTime now, const std::string& name, bool ok);

 private:
  struct Known {
    GossipNode::State state = GossipNode::State::kAlive;
    MonotonicTime since;  // When this leader saw it come into this state.
  };

  void Remember(MonotonicTime now, const std::vector<GossipNode>& gossip);
  bool MayAsk(MonotonicTime now, const std::string& name) const;
  bool WouldKeepQuorum(const replica::ClusterView& view, const std::string& without,
                       const std::map<std::string, bool>& alive) const;

  const Options options_;
  bool led_ = false;
  std::map<std::string, Known> known_;
  std::set<std::string> in_progress_;
  std::map<std::string, MonotonicTime> not_before_;
};

}  // namespace mokv
