// GossipMember: what operators are shown of a member of the gossip, which need not be one of the
// cluster. A value.
#pragma once

#include <string>

#include "base/clock.h"

namespace mokv::service {

struct GossipMember {
  std::string name;
  std::string address;
  std::string status;      // alive, leaving, left or failed.
  std::string role;        // "mokv" for nodes of ours.
  Duration round_trip{0};  // Estimate; 0: not known.
};

}  // namespace mokv::service
