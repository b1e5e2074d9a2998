// What a node remembers across restarts: whom it knew, and how far the clocks had come. Text, one
// thing a line, in the manner of Serf's snapshots:
//
//   alive: NAME ADDRESS:PORT      a member (also `failed:`; those that left are not remembered)
//   clock: N                      of intents; likewise event-clock and query-clock
//   leave                         the node left on purpose
//
// The file is replaced as a whole. It is a hint, not a promise: lines that cannot be read are
// skipped, and without it the node joins like a new one.
//
// Threads: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "serf/output.h"

namespace mokv::serf {

struct RememberedPeer {
  std::string name;
  std::string address;  // HOST:PORT, an IPv6 host in brackets.
  bool alive = true;
};

struct Remembered {
  std::vector<RememberedPeer> peers;
  LamportTime clock = 0;
  LamportTime event_clock = 0;
  LamportTime query_clock = 0;
  bool left = false;
};

std::string FormatRemembered(const Remembered& remembered);
Remembered ParseRemembered(std::string_view text);

}  // namespace mokv::serf
