#include "rpc/message_cutter.h"

#include <algorithm>

#include "base/give_back.h"
#include "base/status.h"
#include "rpc/grpc_wire.h"

namespace mokv::rpc {
namespace {

// A buffer that had to grow beyond this for one message is given back.
constexpr size_t kKeptBytesMax = size_t{16} << 10;

}  // namespace

MessageCutter::Result MessageCutter::Take(std::string_view bytes, const Rules& rules,
                                          MessageSink& sink) {
  Result result;
  blocked_ = false;
  bool more = true;
  while (more && !empty()) {
    // Only what the message lacks that has begun: those behind it come whole, and are not copied.
    CompleteHeld(bytes);
    std::string_view rest = held();
    more = TakeOne(rest, rules, sink, result);
    held_begin_ = held_.size() - rest.size();
  }
  while (more && TakeOne(bytes, rules, sink, result)) {
  }
  // What is left moves to the front only now and then: else messages that are taken one by one
  // would each move all that are behind them.
  if (held_begin_ >= held_.size() / 2) {
    held_.erase(0, held_begin_);
    held_begin_ = 0;
  }
  held_ += bytes;
  if (!blocked_ && result.status.ok()) {
    // The message that is next in line may be larger than the window: the rest of it is to come.
    result.released_bytes += held().size() - released_bytes_;
    released_bytes_ = held().size();
  }
  if (held_.empty() && held_.capacity() > kKeptBytesMax) GiveBack(held_);
  return result;
}

void MessageCutter::CompleteHeld(std::string_view& bytes) {
  const auto hold = [&](size_t whole_bytes) {
    if (held().size() >= whole_bytes) return;
    const size_t lacking = std::min(whole_bytes - held().size(), bytes.size());
    held_ += bytes.substr(0, lacking);
    bytes.remove_prefix(lacking);
  };
  hold(kMessagePrefixBytes);
  if (held().size() < kMessagePrefixBytes) return;
  hold(kMessagePrefixBytes + ParseMessagePrefix(held()).size_bytes);
}

bool MessageCutter::TakeOne(std::string_view& rest, const Rules& rules, MessageSink& sink,
                            Result& result) {
  if (rest.size() < kMessagePrefixBytes) return false;
  const MessagePrefix prefix = ParseMessagePrefix(rest);
  if (prefix.size_bytes > rules.message_bytes_max) {
    result.status = ResourceExhausted("message of {} bytes is over the limit of {}",
                                      prefix.size_bytes, rules.message_bytes_max);
    return false;
  }
  if (!sink.HasRoom()) {
    blocked_ = true;
    return false;
  }
  const size_t whole_bytes = kMessagePrefixBytes + prefix.size_bytes;
  if (rest.size() < whole_bytes) return false;
  ReceivedMessage message{rest.substr(kMessagePrefixBytes, prefix.size_bytes), prefix.compressed};
  if (prefix.compressed) {
    if (rules.encoding == Encoding::kIdentity) {
      result.status = absl::InternalError("a message is compressed, and grpc-encoding is not set");
      return false;
    }
    plain_.clear();
    result.status = Gunzip(message.bytes, rules.message_bytes_max, &plain_, &result.uncompressed);
    if (!result.status.ok()) {
      GiveBack(plain_);
      return false;
    }
    message.bytes = plain_;
  }
  ++result.messages;
  result.message_bytes += message.bytes.size();
  sink.Take(message);
  if (plain_.capacity() > kKeptBytesMax) GiveBack(plain_);
  result.released_bytes += whole_bytes - released_bytes_;
  released_bytes_ = 0;
  rest.remove_prefix(whole_bytes);
  return true;
}

size_t MessageCutter::Drop() {
  const size_t unreleased = held().size() - released_bytes_;
  GiveBack(held_);
  held_begin_ = 0;
  released_bytes_ = 0;
  blocked_ = false;
  return unreleased;
}

}  // namespace mokv::rpc
