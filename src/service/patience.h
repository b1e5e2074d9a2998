// How long a call waits inside the node.
#pragma once

#include <algorithm>

#include "base/clock.h"
#include "rpc/server.h"

namespace mokv::service {

// When a call gives up: after `longest`, or at 90 percent of its deadline, which leaves time for the
// answer that says why.
inline MonotonicTime GiveUpAt(const rpc::Call& call, Duration longest) {
  const MonotonicTime latest = call.received() + longest;
  if (call.deadline() == MonotonicTime::Max()) return latest;
  return std::min(latest, call.received() + (call.deadline() - call.received()) / 10 * 9);
}

}  // namespace mokv::service
