// MessageCutter: cuts the messages out of the bytes of a stream, and hands them to a sink that has
// room. Internal to the engine; both ends of a stream have one.
//
// Owner:   its call.
// Threads: confined to its I/O thread. Pure.
// Bounds:  it holds what HTTP/2's window lets the other side send ahead of the sink, and the one
//          message that is being put together, whose size is limited.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "rpc/compression.h"
#include "rpc/message_sink.h"

namespace mokv::rpc {

class MessageCutter {
 public:
  struct Rules {
    Encoding encoding = Encoding::kIdentity;  // Of messages that say that they are compressed.
    uint64_t message_bytes_max = 0;           // As they come, and uncompressed.
  };
  struct Result {
    absl::Status status;        // Not OK: the stream is broken, or a message too large.
    size_t released_bytes = 0;  // By which the other side's window may grow again.
    size_t messages = 0;        // That were taken.
    size_t message_bytes = 0;   // Of these, uncompressed.
    UncompressedCost uncompressed;
  };

  // Hands over what is there, `bytes` last, as long as the sink has room.
  Result Take(std::string_view bytes, const Rules& rules, MessageSink& sink);
  // Forgets all of it. Returns the bytes that had not been released.
  size_t Drop();

  // Whether every byte has gone into a message that was taken.
  bool empty() const { return held().empty(); }
  // Of the message that is being put together: what the window does not hold back any more.
  size_t assembly_bytes() const { return released_bytes_; }
  // Whether whole messages wait for room, or may.
  bool blocked() const { return blocked_; }

 private:
  std::string_view held() const { return std::string_view(held_).substr(held_begin_); }
  // Moves what the first message that is held lacks from `bytes`, as far as it has come.
  void CompleteHeld(std::string_view& bytes);
  // Of `rest`, which it shortens. False: no whole message for now.
  bool TakeOne(std::string_view& rest, const Rules& rules, MessageSink& sink, Result& result);

  std::string held_;  // From `held_begin_` on.
  size_t held_begin_ = 0;
  size_t released_bytes_ = 0;  // Of the incomplete message that begins there.
  bool blocked_ = false;
  std::string plain_;
};

}  // namespace mokv::rpc
