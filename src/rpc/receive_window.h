// ReceiveWindow: when a connection's window of HTTP/2 may grow again. Internal to the engine.
//
// A stream's own window grows when its messages are taken. The connection's grows as soon as bytes
// have come, so that one slow reader does not stop the streams beside it; but if slow ones hold too
// much together, it does not, and the other side has to wait for them.
//
// Threads: confined to its connection's. Pure.
#pragma once

#include <cstddef>
#include <utility>

#include "base/check.h"

namespace mokv::rpc {

class ReceiveWindow {
 public:
  explicit ReceiveWindow(size_t held_bytes_max) : held_bytes_max_(held_bytes_max) {}

  // Bytes of streams have come, or are not held any more. Both return by how much the connection's
  // window may grow now.
  size_t OnReceived(size_t bytes) {
    held_bytes_ += bytes;
    if (held_bytes_ <= held_bytes_max_) return bytes;
    owed_bytes_ += bytes;
    return 0;
  }
  size_t OnReleased(size_t bytes) {
    MOKV_CHECK_LE(bytes, held_bytes_);
    held_bytes_ -= bytes;
    return held_bytes_ <= held_bytes_max_ ? std::exchange(owed_bytes_, 0) : 0;
  }

 private:
  const size_t held_bytes_max_;
  size_t held_bytes_ = 0;
  size_t owed_bytes_ = 0;  // Of these the window has not grown yet.
};

}  // namespace mokv::rpc
