#include "node/reconciler.h"

#include <algorithm>

namespace mokv {
namespace {

const replica::ClusterMember* FindMember(const replica::ClusterView& view, std::string_view name) {
  for (const replica::ClusterMember& member : view.members) {
    if (member.name == name) return &member;
  }
  return nullptr;
}

}  // namespace

void Reconciler::Remember(MonotonicTime now, const std::vector<GossipNode>& gossip) {
  std::map<std::string, Known> known;
  for (const GossipNode& node : gossip) {
    const auto before = known_.find(node.name);
    const bool same = before != known_.end() && before->second.state == node.state;
    known[node.name] = {node.state, same ? before->second.since : now};
  }
  known_ = std::move(known);
}

bool Reconciler::MayAsk(MonotonicTime now, const std::string& name) const {
  if (in_progress_.contains(name) || in_progress_.size() >= options_.in_progress_max) return false;
  const auto not_before = not_before_.find(name);
  return not_before == not_before_.end() || now >= not_before->second;
}

// Whether a majority of the voters that would be left has been heard of. The change would need that
// majority anyway; but a removal must not be begun that then waits for nodes that are away.
bool Reconciler::WouldKeepQuorum(const replica::ClusterView& view, const std::string& without,
                                 const std::map<std::string, bool>& alive) const {
  size_t voters = 0;
  size_t voters_alive = 0;
  for (const replica::ClusterMember& member : view.members) {
    if (!member.is_voter || member.name == without) continue;
    ++voters;
    const auto found = alive.find(member.name);
    if (member.name == options_.own_name || (found != alive.end() && found->second)) ++voters_alive;
  }
  return voters_alive * 2 > voters;
}

std::vector<replica::AdminRequest> Reconciler::Look(MonotonicTime now, bool leads,
                                                    const replica::ClusterView& view,
                                                    const std::vector<GossipNode>& gossip,
                                                    const std::map<std::string, bool>& alive) {
  if (!leads) {
    led_ = false;
    known_.clear();
    not_before_.clear();
    return {};
  }
  if (!led_) known_.clear();
  led_ = true;
  Remember(now, gossip);
  std::vector<replica::AdminRequest> requests;
  const auto ask = [&](replica::AdminRequest::Kind kind, const GossipNode& node) {
    requests.push_back(
        {.kind = kind, .name = node.name, .rpc_address = node.rpc_address, .automatic = true});
    in_progress_.insert(node.name);
  };
  // Members first, then those that were asked longest ago: made-up nodes must not keep real ones
  // waiting.
  std::vector<const GossipNode*> order;
  for (const GossipNode& node : gossip) order.push_back(&node);
  const auto asked_at = [this](const GossipNode* node) {
    const auto found = not_before_.find(node->name);
    return found == not_before_.end() ? MonotonicTime() : found->second;
  };
  std::stable_sort(order.begin(), order.end(), [&](const GossipNode* a, const GossipNode* b) {
    const bool a_is_new = FindMember(view, a->name) == nullptr;
    const bool b_is_new = FindMember(view, b->name) == nullptr;
    if (a_is_new != b_is_new) return b_is_new;
    return asked_at(a) < asked_at(b);
  });
  for (const GossipNode* candidate : order) {
    const GossipNode& node = *candidate;
    if (!MayAsk(now, node.name)) continue;
    const replica::ClusterMember* member = FindMember(view, node.name);
    if (node.name == options_.own_name) {
      // The leader corrects its own address, too. Nothing else is to be done about itself.
      const bool moved = member != nullptr && member->instance_id == node.instance_id &&
                         member->rpc_address != node.rpc_address;
      if (moved && node.state == GossipNode::State::kAlive) {
        ask(replica::AdminRequest::Kind::kAddMember, node);
      }
      continue;
    }
    if (node.state == GossipNode::State::kAlive) {
      // A member at the address that it says, with the disk that it had: nothing to do.
      const bool settled = member != nullptr && member->instance_id == node.instance_id &&
                           member->rpc_address == node.rpc_address;
      if (!settled) ask(replica::AdminRequest::Kind::kAddMember, node);
      continue;
    }
    const Duration timeout =
        node.state == GossipNode::State::kLeft ? options_.left_timeout : options_.dead_timeout;
    const bool overdue = timeout > Duration(0) && now - known_.at(node.name).since >= timeout;
    const auto heard = alive.find(node.name);
    const bool answers = heard != alive.end() && heard->second;
    // Gossip's word is not enough: a node that still answers Raft stays.
    if (member == nullptr || !overdue || answers) continue;
    if (!WouldKeepQuorum(view, node.name, alive)) continue;
    ask(replica::AdminRequest::Kind::kRemoveMember, node);
  }
  return requests;
}

void Reconciler::OnDone(MonotonicTime now, const std::string& name, bool ok) {
  in_progress_.erase(name);
  if (ok) {
    not_before_.erase(name);
  } else {
    not_before_[name] = now + options_.retry_interval;
  }
  // Names come from gossip, and are forgotten with it.
  std::erase_if(not_before_, [&](const auto& item) { return !known_.contains(item.first); });
}

}  // namespace mokv
