// MessageSource: where the messages of a server stream come from.
//
// The engine pulls: it asks for the next message only when the client and the connection have room
// for it, so that nothing is made which has to wait in memory.
//
// Threads: confined to the call's I/O thread, where it is also destroyed, at the latest when the
//          call ends in whatever way.
// Owner:   its call, from Start on.
#pragma once

#include <absl/status/status.h>

#include <string>

namespace mokv::rpc {

class MessageSource {
 public:
  enum class Next {
    kMessage,  // One message was appended.
    kWait,     // None now; StreamWaker::Wake says when to ask again.
    kEnd,      // No more; the call ends with status().
  };
  virtual ~MessageSource() = default;
  // Appends the next message's bytes to `message`.
  virtual Next Produce(std::string* message) = 0;
  // After kEnd.
  virtual absl::Status status() const { return absl::OkStatus(); }
};

}  // namespace mokv::rpc
