// Silence: for how long the other side of a connection has shown no sign of life. Counts intervals,
// not time: a process that was stopped for a while must not take the others for dead when it goes
// on.
//
// Threads: a plain value.
#pragma once

#include <cstdint>

namespace mokv::peer {

class Silence {
 public:
  // To be called once an interval, with what was received and sent since the connection began, and
  // whether more waits than the socket takes. Returns for how many intervals in a row nothing was
  // heard.
  int Count(uint64_t received_bytes, uint64_t sent_bytes, bool is_blocked) {
    const bool heard = received_bytes != received_bytes_;
    // A queue that moves shows that the other side's machine takes bytes, however slowly. (Without
    // a queue it shows nothing: the socket takes some from us even if there is nobody.)
    const bool queue_moved = was_blocked_ && sent_bytes != sent_bytes_;
    received_bytes_ = received_bytes;
    sent_bytes_ = sent_bytes;
    was_blocked_ = is_blocked;
    intervals_ = heard || queue_moved ? 0 : intervals_ + 1;
    return intervals_;
  }

 private:
  uint64_t received_bytes_ = 0;
  uint64_t sent_bytes_ = 0;
  bool was_blocked_ = false;
  int intervals_ = 0;
};

}  // namespace mokv::peer
