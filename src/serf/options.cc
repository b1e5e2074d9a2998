#include "serf/options.h"

namespace mokv::serf {

Timing Timing::Local() {
  Timing timing;
  timing.probe_timeout = std::chrono::milliseconds(200);
  timing.indirect_checks = 1;
  timing.gossip_interval = std::chrono::milliseconds(100);
  timing.gossip_to_the_dead = std::chrono::seconds(15);
  timing.retransmit_mult = 2;
  timing.suspicion_mult = 3;
  timing.push_pull_interval = std::chrono::seconds(15);
  timing.stream_timeout = std::chrono::seconds(1);
  return timing;
}

Timing Timing::Fast() {
  Timing timing;
  timing.probe_interval = std::chrono::milliseconds(200);
  timing.probe_timeout = std::chrono::milliseconds(100);
  timing.gossip_interval = std::chrono::milliseconds(20);
  timing.gossip_to_the_dead = std::chrono::seconds(3);
  timing.suspicion_mult = 3;
  timing.push_pull_interval = std::chrono::seconds(2);
  timing.stream_timeout = std::chrono::seconds(1);
  timing.broadcast_timeout = std::chrono::seconds(1);
  timing.leave_propagate_delay = std::chrono::milliseconds(200);
  timing.reconnect_interval = std::chrono::seconds(1);
  timing.reap_interval = std::chrono::seconds(1);
  return timing;
}

}  // namespace mokv::serf
