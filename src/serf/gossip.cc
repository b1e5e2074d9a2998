// Spreading: what rides on other packets, what is gossiped on its own, and whole lists from time
// to time.
#include <algorithm>
#include <cmath>

#include "serf/memberlist.h"

namespace mokv::serf {
namespace {

constexpr uint8_t kChecksumSince = 5;
// Up to here push/pulls keep their interval; each doubling adds one more, so that the load of
// whole lists stays bearable.
constexpr size_t kPushPullScaleFrom = 32;
// Small tables are sampled exactly, by shuffling.
constexpr size_t kShuffleNodesMax = 64;

}  // namespace

BroadcastQueue::Id Memberlist::Broadcast(std::string message, std::string_view node) {
  return broadcasts_.Push(std::move(message), node);
}

int Memberlist::TransmitsMax(size_t members) const {
  return timing_.retransmit_mult *
         static_cast<int>(std::ceil(std::log10(static_cast<double>(members + 1))));
}

bool Memberlist::HasGossip() const { return !broadcasts_.empty() || delegate_.HasBroadcasts(); }

std::vector<std::string> Memberlist::GatherGossip(size_t used_bytes, size_t count_max) {
  const size_t overhead =
      used_bytes + kCompoundHeaderBytes + (keyring_.enabled() ? kSealOverheadBytes : 0);
  std::vector<std::string> messages;
  if (overhead >= kPacketBytesMax) return messages;
  size_t budget = broadcasts_.Take(kPacketBytesMax - overhead, kCompoundPartBytes, count_max,
                                   TransmitsMax(nodes_.size()), {}, &messages);
  delegate_.TakeBroadcasts(budget, count_max - messages.size(), &messages);
  return messages;
}

void Memberlist::Gossip() {
  const auto targets =
      RandomNodes(static_cast<size_t>(timing_.gossip_nodes), [&](const Node& node) {
        if (node.name == self_->name) return false;
        return node.IsMember() ||
               (node.state == NodeState::kDead && now_ - node.changed < timing_.gossip_to_the_dead);
      });
  for (const Node* target : targets) {
    const std::vector<std::string> messages = GatherGossip(0, kCompoundPartsMax);
    if (messages.empty()) return;
    SendPacket(target->at, messages, target->versions[kProtocolMax] >= kChecksumSince);
  }
}

std::vector<const Node*> Memberlist::RandomNodes(size_t count,
                                                 const std::function<bool(const Node&)>& wanted) {
  std::vector<const Node*> chosen;
  if (nodes_.size() <= kShuffleNodesMax) {
    for (const auto& node : nodes_) {
      if (wanted(*node)) chosen.push_back(node.get());
    }
    for (size_t i = 0; i < chosen.size() && i < count; ++i) {
      std::swap(chosen[i], chosen[i + random_.Next() % (chosen.size() - i)]);
    }
    if (chosen.size() > count) chosen.resize(count);
    return chosen;
  }
  for (size_t tries = 0; tries < 3 * nodes_.size() && chosen.size() < count; ++tries) {
    const Node* node = nodes_[random_.Next() % nodes_.size()].get();
    if (std::find(chosen.begin(), chosen.end(), node) == chosen.end() && wanted(*node)) {
      chosen.push_back(node);
    }
  }
  return chosen;
}

Duration Memberlist::PushPullPeriod() const {
  if (nodes_.size() <= kPushPullScaleFrom) return timing_.push_pull_interval;
  const double doublings = std::ceil(std::log2(static_cast<double>(nodes_.size())) -
                                     std::log2(static_cast<double>(kPushPullScaleFrom)));
  return timing_.push_pull_interval * (static_cast<int64_t>(doublings) + 1);
}

void Memberlist::PushPullWithAnyone(MonotonicTime now) {
  now_ = now;
  const auto partner = RandomNodes(1, [&](const Node& node) {
    return node.state == NodeState::kAlive && node.name != self_->name;
  });
  if (!partner.empty()) StartPushPull(now_, partner.front()->at, /*join=*/false);
}

Duration Memberlist::RandomBelow(Duration limit) {
  return Duration(static_cast<int64_t>(random_.Next() % static_cast<uint64_t>(limit.count())));
}

}  // namespace mokv::serf
