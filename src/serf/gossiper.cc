#include "serf/gossiper.h"

#include <cmath>

#include "serf/packet.h"

namespace mokv::serf {

void Gossiper::Start() {
  next_gossip_ = env_.now + env_.RandomBelow(env_.options.timing.gossip_interval);
}

MonotonicTime Gossiper::NextDeadline() const {
  return queues_.empty() ? MonotonicTime::Max() : next_gossip_;
}

void Gossiper::Tick() {
  const Timing& timing = env_.options.timing;
  if (env_.now < NextDeadline()) return;
  next_gossip_ = env_.now + timing.gossip_interval;
  const auto targets =
      nodes_.Random(static_cast<size_t>(timing.gossip_nodes), [&](const ListedNode& node) {
        if (nodes_.IsSelf(node)) return false;
        return node.IsMember() || (node.state == NodeState::kDead &&
                                   env_.now - node.changed < timing.gossip_to_the_dead);
      });
  for (const ListedNode* target : targets) {
    const std::vector<std::string> messages = Gather(0, kCompoundPartsMax);
    if (messages.empty()) return;
    env_.SendPacket(target->at, messages, target->TakesChecksums());
  }
}

void Gossiper::SendWithGossip(const Endpoint& to, std::string message) {
  std::vector<std::string> messages =
      Gather(message.size() + kCompoundPartBytes, kCompoundPartsMax - 1);
  messages.insert(messages.begin(), std::move(message));
  env_.SendPacket(to, messages, /*checksum=*/false);
}

std::vector<std::string> Gossiper::Gather(size_t used_bytes, size_t count_max) {
  static constexpr std::string_view kUserPrefix = "\x08";
  const size_t overhead =
      used_bytes + kCompoundHeaderBytes + (env_.keyring.enabled() ? kSealOverheadBytes : 0);
  std::vector<std::string> messages;
  if (overhead >= kPacketBytesMax) return messages;
  size_t budget = queues_.nodes.Take(kPacketBytesMax - overhead, kCompoundPartBytes, count_max,
                                     TransmitsMax(nodes_.size()), {}, &messages);
  for (BroadcastQueue* queue : {&queues_.intents, &queues_.queries, &queues_.events}) {
    budget =
        queue->Take(budget, kCompoundPartBytes + kUserPrefix.size(), count_max - messages.size(),
                    TransmitsMax(queues_.members), kUserPrefix, &messages);
  }
  return messages;
}

int Gossiper::TransmitsMax(size_t members) const {
  return env_.options.timing.retransmit_mult *
         static_cast<int>(std::ceil(std::log10(static_cast<double>(members + 1))));
}

}  // namespace mokv::serf
