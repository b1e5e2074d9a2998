// Calls through Channel::Open whose both sides a test says and sees.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rpc/channel.h"

namespace mokv::rpc {

// Of one call. What is given is used on the I/O thread, what is seen written there: read it after
// WaitForEnd, but for the counters.
struct Conversation {
  using Next = MessageSource::Next;

  std::function<Next(std::string* message)> produce = [](std::string*) { return Next::kEnd; };
  std::function<bool()> has_room = [] { return true; };
  MessageCompression compression = MessageCompression::kAuto;
  // After what is seen has been written.
  std::function<void()> on_leading = [] {};
  std::function<void()> on_take = [] {};
  std::function<void()> on_messages_end = [] {};
  std::function<void()> on_end = [] {};

  std::vector<Metadata> leadings;
  std::vector<std::string> messages;
  std::vector<bool> were_compressed;
  int messages_ends = 0;
  std::vector<CallEnd> ends;
  std::atomic<size_t> taken = 0;
  std::atomic<size_t> made = 0;
  std::promise<void> destroyed;

  // False when the call goes on for half a minute.
  bool WaitForEnd() {
    return destroyed.get_future().wait_for(std::chrono::seconds(30)) == std::future_status::ready;
  }
  // Of the call that has ended.
  CallEnd end() const {
    EXPECT_EQ(ends.size(), 1u);
    return ends.empty() ? CallEnd{} : ends[0];
  }
};

// Makes these and ends.
inline std::function<MessageSource::Next(std::string*)> Saying(std::vector<std::string> messages) {
  auto left = std::make_shared<std::vector<std::string>>(messages.rbegin(), messages.rend());
  return [left](std::string* message) {
    if (left->empty()) return MessageSource::Next::kEnd;
    *message += left->back();
    left->pop_back();
    return MessageSource::Next::kMessage;
  };
}

inline MessageSource::Next SayNothing(std::string*) { return MessageSource::Next::kWait; }

// A conversation must outlive its exchange.
class ConversationExchange final : public ClientExchange {
 public:
  explicit ConversationExchange(Conversation& conversation) : it_(conversation) {}
  ~ConversationExchange() override { it_.destroyed.set_value(); }

  Next Produce(std::string* message) override {
    const Next next = it_.produce(message);
    if (next == Next::kMessage) ++it_.made;
    return next;
  }
  MessageCompression compression() const override { return it_.compression; }
  bool HasRoom() const override { return it_.has_room(); }
  void Take(const ReceivedMessage& message) override {
    EXPECT_EQ(it_.messages_ends, 0);
    it_.messages.emplace_back(message.bytes);
    it_.were_compressed.push_back(message.was_compressed);
    ++it_.taken;
    it_.on_take();
  }
  void End() override {
    ++it_.messages_ends;
    it_.on_messages_end();
  }
  void OnLeading(const Metadata& leading) override {
    EXPECT_TRUE(it_.messages.empty());
    it_.leadings.push_back(leading);
    it_.on_leading();
  }
  void OnEnd(const CallEnd& end) override {
    it_.ends.push_back(end);
    it_.on_end();
  }

 private:
  Conversation& it_;
};

inline CallHandle Begin(Channel& channel, const std::string& method, Conversation& conversation,
                        CallOptions options = {.timeout = std::chrono::seconds(60)}) {
  return channel.Open(method, std::move(options),
                      std::make_unique<ConversationExchange>(conversation));
}

}  // namespace mokv::rpc
