#include "node/gossip_policy.h"

#include <algorithm>

#include "base/status.h"

namespace mokv {
namespace {

// While a member is away, start-join-addrs are asked this often: one exchange with one node.
constexpr Duration kJoinAgainInterval = std::chrono::seconds(5);

// Our nodes alone. Other programs gossip too, plain Serf agents among them: a node shows them to
// operators, and does nothing else about them.
std::vector<GossipNode> OurNodes(const std::vector<serf::Member>& members) {
  std::vector<GossipNode> nodes;
  for (const serf::Member& member : members) {
    if (TagOf(member, kRoleTag) != kRole) continue;
    GossipNode::State state = GossipNode::State::kAlive;  // A leaving node is still there.
    if (member.status == serf::MemberStatus::kFailed) state = GossipNode::State::kFailed;
    if (member.status == serf::MemberStatus::kLeft) state = GossipNode::State::kLeft;
    nodes.push_back({.name = member.name,
                     .state = state,
                     .rpc_address = TagOf(member, kRpcAddressTag),
                     .cluster_id = TagOf(member, kClusterTag),
                     .instance_id = TagOf(member, kInstanceTag)});
  }
  return nodes;
}

}  // namespace

std::string TagOf(const serf::Member& member, std::string_view name) {
  const auto found = member.tags.find(std::string(name));
  return found == member.tags.end() ? std::string() : found->second;
}

GossipPolicy::Decision GossipPolicy::Look(MonotonicTime now,
                                          const std::vector<serf::Member>& members,
                                          const Known& known) {
  std::vector<GossipNode> nodes = OurNodes(members);
  Decision decision{.nodes_changed = nodes != nodes_};
  nodes_ = std::move(nodes);
  const std::string& own = known.cluster.cluster_id;
  for (const GossipNode& node : nodes_) {
    const bool foreign = node.state == GossipNode::State::kAlive && !own.empty() &&
                         !node.cluster_id.empty() && node.cluster_id != own;
    if (foreign) decision.foreign.push_back(node);
  }
  decision.join = ShouldJoin(now, known.cluster);
  // Names come from gossip, and are forgotten with it.
  std::erase_if(told_, [&](const auto& told) {
    return std::none_of(nodes_.begin(), nodes_.end(),
                        [&](const GossipNode& node) { return node.name == told.first; });
  });
  decision.requests = reconciler_.Look(now, known.leads, known.cluster, nodes_, known.alive);
  return decision;
}

bool GossipPolicy::IsAlive(std::string_view name) const {
  return std::any_of(nodes_.begin(), nodes_.end(), [&](const GossipNode& node) {
    return node.name == name && node.state == GossipNode::State::kAlive;
  });
}

// A member that failed may be back at an address that nobody here knows, and may not know this
// node's address either. But both know start-join-addrs, whose names are resolved anew.
bool GossipPolicy::ShouldJoin(MonotonicTime now, const replica::ClusterView& cluster) {
  if (joining_ || !options_.has_join_addrs || now < next_join_) return false;
  next_join_ = now + kJoinAgainInterval;
  return !std::all_of(cluster.members.begin(), cluster.members.end(),
                      [&](const auto& member) { return IsAlive(member.name); });
}

bool GossipPolicy::OnRequestDone(MonotonicTime now, const std::string& name,
                                 const absl::Status& status) {
  reconciler_.OnDone(now, name, status.ok());
  if (status.ok()) {
    told_.erase(name);
    return false;
  }
  // A refusal that repeats is told once.
  std::string& told = told_[name];
  const bool is_news = told != MessageOf(status);
  told = MessageOf(status);
  return is_news;
}

}  // namespace mokv
