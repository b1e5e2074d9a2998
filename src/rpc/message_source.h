// MessageSource: where the messages of a stream come from, at either end.
//
// The engine pulls: it asks for the next message only when the other side and the connection have
// room for it, so that nothing is made which has to wait in memory.
//
// Threads: confined to the call's I/O thread, where it is also destroyed, at the latest when the
//          call ends in whatever way.
// Owner:   its call, from the call's Start on.
#pragma once

#include <absl/status/status.h>

#include <string>

#include "rpc/compression.h"
#include "rpc/metadata.h"

namespace mokv::rpc {

class MessageSource {
 public:
  enum class Next {
    kMessage,  // One message was appended.
    kWait,     // None now; StreamWaker::Wake says when to ask again.
    kEnd,      // No more. A server's call ends with status() and trailers().
  };
  virtual ~MessageSource() = default;
  // Appends the next message's bytes to `message`.
  virtual Next Produce(std::string* message) = 0;
  // Of the message that Produce has just made.
  virtual MessageCompression compression() const { return MessageCompression::kAuto; }
  // After kEnd, of a server. The trailers come after those of Call::AddTrailing.
  virtual absl::Status status() const { return absl::OkStatus(); }
  virtual Metadata trailers() const { return {}; }
};

}  // namespace mokv::rpc
