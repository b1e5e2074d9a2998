// Gossiper: spreads news. It fills the room that other packets leave, and sends packets of its own
// to a few random nodes while anything waits.
//
// Threads: confined to the owner's.
// Owner:   Protocol. Borrows all that it is given.
// Bounds:  a packet has kPacketBytesMax bytes and kCompoundPartsMax messages.
#pragma once

#include <string>
#include <vector>

#include "serf/broadcast_queue.h"
#include "serf/environment.h"
#include "serf/node_table.h"

namespace mokv::serf {

class Gossiper {
 public:
  Gossiper(Environment& env, NodeTable& nodes, GossipQueues& queues)
      : env_(env), nodes_(nodes), queues_(queues) {}

  // Begins the schedule.
  void Start();
  void Tick();
  MonotonicTime NextDeadline() const;

  // Sends `message` at once, and as much news as fits beside it.
  void SendWithGossip(const Endpoint& to, std::string message);

 private:
  std::vector<std::string> Gather(size_t used_bytes, size_t count_max);
  int TransmitsMax(size_t members) const;

  Environment& env_;
  NodeTable& nodes_;
  GossipQueues& queues_;
  MonotonicTime next_gossip_;
};

}  // namespace mokv::serf
