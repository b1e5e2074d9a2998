// AnswerBudget: how many bytes of answers wait on one connection for its client to take them. A client
// that makes a call and opens no window for its answer costs the answer's memory, and it may make a
// thousand. Internal to the engine.
//
// Once the limit is reached, large unary answers are refused, and streams are asked for no more: these
// lose nothing, and go on as answers leave. Answers that nearly everybody gives always pass: a write that
// was carried out must not be told otherwise.
//
// Owner:   the connection.
// Threads: confined to its I/O thread. Pure.
// Bounds:  bytes_max, one message of each stream, and kSmallBytes of each call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/check.h"

namespace mokv::rpc {

class AnswerBudget {
 public:
  // Answers of up to so many bytes always pass.
  static constexpr size_t kSmallBytes = size_t{16} << 10;

  explicit AnswerBudget(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // Whether a unary answer of so many bytes may wait. The first one may have any size.
  bool Admits(uint64_t bytes) const {
    return bytes <= kSmallBytes || waiting_bytes_ == 0 || waiting_bytes_ + bytes <= bytes_max_;
  }
  // Whether streams have to wait until some of what there is has left.
  bool spent() const { return waiting_bytes_ >= bytes_max_; }
  uint64_t waiting_bytes() const { return waiting_bytes_; }

  // Bytes of an answer wait, or do not any more.
  void Add(uint64_t bytes) { waiting_bytes_ += bytes; }
  void Remove(uint64_t bytes) {
    MOKV_CHECK_LE(bytes, waiting_bytes_);
    waiting_bytes_ -= bytes;
  }

  // The source of this stream was not asked: the budget is spent.
  void Hold(int32_t stream) { held_.push_back(stream); }
  // It is over.
  void Forget(int32_t stream) { std::erase(held_, stream); }
  // Those that may be asked now.
  bool has_released() const { return !held_.empty() && !spent(); }
  std::vector<int32_t> TakeReleased() { return std::exchange(held_, {}); }

 private:
  const uint64_t bytes_max_;
  uint64_t waiting_bytes_ = 0;
  std::vector<int32_t> held_;
};

}  // namespace mokv::rpc
