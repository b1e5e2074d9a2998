// What all connections of a PeerNetwork share. Confined to the replica thread, but for `counters`.
#pragma once

#include "base/clock.h"
#include "base/random.h"
#include "net/io_pool.h"
#include "peer/handshake.h"
#include "peer/options.h"
#include "peer/stats.h"
#include "replica/peers.h"

namespace mokv::peer {

// Lets one line a second into the log, so that hostile or broken peers cannot fill it. Counters
// tell how many there were.
class LogLimit {
 public:
  bool Allows(MonotonicTime now) {
    if (now < next_) return false;
    next_ = now + std::chrono::seconds(1);
    return true;
  }

 private:
  MonotonicTime next_;
};

struct Context {
  net::IoThread& thread;
  const Clock& clock;
  const Options options;
  LocalNode local;
  PeerTls tls;
  SeededRandom random;
  LogLimit log_limit;
  Counters counters;
  replica::ConnectionId last_connection_id;

  // Of the next one that is established.
  replica::ConnectionId NextConnectionId() { return ++last_connection_id; }
};

}  // namespace mokv::peer
