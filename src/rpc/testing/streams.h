// Streams that many tests want a server to have.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "rpc/message_sink.h"
#include "rpc/responder.h"

namespace mokv::rpc {

// Answers a client stream with the sum of its messages' bytes.
class SumOfBytes final : public MessageSink {
 public:
  explicit SumOfBytes(Responder responder) : responder_(std::move(responder)) {}
  void Take(const ReceivedMessage& message) override { bytes_ += message.bytes.size(); }
  void End() override { responder_.Finish(std::to_string(bytes_)); }

 private:
  Responder responder_;
  size_t bytes_ = 0;
};

// Answers each message with itself, and has room for one at a time.
class EchoExchange final : public MessageExchange {
 public:
  bool HasRoom() const override { return !has_message_; }
  void Take(const ReceivedMessage& message) override {
    message_ = message.bytes;
    has_message_ = true;
  }
  void End() override { ended_ = true; }
  Next Produce(std::string* message) override {
    if (!has_message_) return ended_ ? Next::kEnd : Next::kWait;
    *message += message_;
    has_message_ = false;
    return Next::kMessage;
  }

 private:
  std::string message_;
  bool has_message_ = false;
  bool ended_ = false;
};

}  // namespace mokv::rpc
