// GossipQueues: what waits to be gossiped, in the order in which it is taken.
//
// Threads: confined to the owner's.
// Owner:   Protocol; the parts put their news in, and Gossiper takes them out.
#pragma once

#include "serf/broadcast_queue.h"

namespace mokv::serf {

struct GossipQueues {
  BroadcastQueue nodes;  // Who is alive: complete messages.
  // Serf's own, without the type byte of user messages.
  BroadcastQueue intents;
  BroadcastQueue queries;
  BroadcastQueue events;
  // How many members Serf knows: the more there are, the more often its messages are sent.
  size_t members = 0;

  bool empty() const {
    return nodes.empty() && intents.empty() && queries.empty() && events.empty();
  }
  uint64_t dropped() const {
    return nodes.dropped() + intents.dropped() + queries.dropped() + events.dropped();
  }
};

}  // namespace mokv::serf
