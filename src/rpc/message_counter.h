// MessageCounter: how many messages of gRPC come to their ends in the bytes of one request. Internal to
// the engine.
//
// Threads: a value of its call. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "rpc/grpc_wire.h"

namespace mokv::rpc {

class MessageCounter {
 public:
  // Those that the next bytes end.
  size_t Count(std::string_view bytes) {
    size_t messages = 0;
    while (!bytes.empty()) {
      if (prefix_size_ < kMessagePrefixBytes) {
        prefix_[prefix_size_++] = bytes.front();
        bytes.remove_prefix(1);
        if (prefix_size_ < kMessagePrefixBytes) continue;
        left_ = ParseMessagePrefix({prefix_.data(), prefix_.size()}).size_bytes;
      }
      const size_t taken = std::min(left_, bytes.size());
      left_ -= taken;
      bytes.remove_prefix(taken);
      if (left_ == 0) {
        ++messages;
        prefix_size_ = 0;
      }
    }
    return messages;
  }

 private:
  std::array<char, kMessagePrefixBytes> prefix_{};
  size_t prefix_size_ = 0;
  size_t left_ = 0;  // Of the message whose prefix is complete.
};

}  // namespace mokv::rpc
