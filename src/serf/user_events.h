// UserEvents: short messages to everybody, each delivered once.
//
// Threads: confined to the owner's.
// Owner:   Protocol. Borrows all that it is given.
// Bounds:  kRingSlots Lamport times, kEventsPerSlotMax events of each, 1 MiB altogether.
#pragma once

#include <absl/status/status.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serf/broadcast_queue.h"
#include "serf/environment.h"
#include "serf/lamport_clock.h"

namespace mokv::serf {

class UserEvents {
 public:
  UserEvents(Environment& env, GossipQueues& queues);

  absl::Status Send(std::string_view name, std::string_view payload);
  // True: it is news, which others should hear too.
  bool OnEvent(const UserEventMessage& event);

  // --- What two nodes tell each other when they exchange lists.
  // Views into the ring.
  std::vector<std::pair<uint32_t, BufferedEvents>> Remembered() const;
  // A node that joins has not missed what happened before.
  void IgnoreBefore(LamportTime ltime);

  LamportClock& clock() { return clock_; }
  const LamportClock& clock() const { return clock_; }

 private:
  struct Slot {
    LamportTime ltime = 0;
    std::vector<std::pair<std::string, std::string>> events;  // Name, payload.
  };

  Slot& SlotFor(LamportTime ltime);

  Environment& env_;
  GossipQueues& queues_;
  LamportClock clock_;
  LamportTime ignored_before_ = 0;
  std::map<uint32_t, Slot> ring_;
  size_t ring_bytes_ = 0;
};

}  // namespace mokv::serf
