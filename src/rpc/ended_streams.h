// EndedStreams: which streams their client ended not long ago, by its request's end or a reset. It may
// not send HEADERS or DATA on them any more (RFC 9113, 5.1). Internal to the engine.
//
// Threads: confined to the connection's.
// Bounds:  kRememberedMax numbers; the RFC lets a server ignore what comes for older ones.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mokv::rpc {

class EndedStreams {
 public:
  // As many calls as a busy client may have ended just now; it is the newest that it can confuse.
  static constexpr size_t kRememberedMax = 64;

  void Add(int32_t stream) { streams_[Place(stream)] = stream; }
  bool Has(int32_t stream) const { return streams_[Place(stream)] == stream; }

 private:
  // A client's streams have odd numbers.
  static size_t Place(int32_t stream) { return static_cast<size_t>(stream) / 2 % kRememberedMax; }

  std::array<int32_t, kRememberedMax> streams_{};
};

}  // namespace mokv::rpc
