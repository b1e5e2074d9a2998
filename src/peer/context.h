// What all connections of a PeerNetwork share. Confined to the replica thread, but for `counters`.
#pragma once

#include "base/clock.h"
#include "base/random.h"
#include "net/io_pool.h"
#include "peer/handshake.h"
#include "peer/options.h"
#include "peer/stats.h"

namespace mokv::peer {

// Keeps what hostile or broken peers cause from filling the log: counters tell how much there was.
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
  SeededRandom random;
  LogLimit log_limit;
  Counters counters;
};

}  // namespace mokv::peer
