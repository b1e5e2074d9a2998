// MessageSink: where the messages of a stream go, at either end.
//
// Messages are cut out of the stream only when there is room for them. While there is none the other
// side may send no more than HTTP/2's window, so a slow reader slows its writer and fills no memory.
//
// Threads: confined to the call's I/O thread, where it is also destroyed, at the latest when the
//          call ends in whatever way: a sink that is destroyed before End has seen a call that was
//          cut off.
// Owner:   its call, from the call's Start on.
#pragma once

#include <string_view>

#include "rpc/message_source.h"

namespace mokv::rpc {

// `bytes` are valid during the call.
struct ReceivedMessage {
  std::string_view bytes;
  bool was_compressed = false;
};

class MessageSink {
 public:
  virtual ~MessageSink() = default;
  // Asked before each message. After no, it is asked again once StreamWaker::Wake was called, or the
  // call's own source was asked for a message.
  virtual bool HasRoom() const { return true; }
  virtual void Take(const ReceivedMessage& message) = 0;
  // The other side has sent all of its messages.
  virtual void End() {}
};

// Both directions of a bidirectional stream in one object. After Take and End, a Produce that had
// said kWait is asked again, without a Wake.
class MessageExchange : public MessageSource, public MessageSink {};

}  // namespace mokv::rpc
