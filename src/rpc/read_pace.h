// ReadPace: how many bytes of a connection are read in one turn of its I/O thread. What bytes cost is a
// matter of the frames in them: 64 KiB of an upload are some microseconds of work, 64 KiB of calls that
// are begun and reset are a hundred times as many, for which everybody else on the thread would wait.
//
// Owner:   the connection.
// Threads: confined to its I/O thread. Pure.
#pragma once

#include <algorithm>
#include <cstddef>

namespace mokv::rpc {

class ReadPace {
 public:
  // About a tenth of a millisecond of work.
  static constexpr size_t kFramesPerTurnMax = 128;
  // Some fifty small calls. Less, and busy connections would read more often than they need.
  static constexpr size_t kBytesMin = size_t{2} << 10;
  // What large messages are read by.
  static constexpr size_t kBytesMax = size_t{64} << 10;
  // Of a connection of which nothing is known: whoever reconnects begins here again.
  static constexpr size_t kFirstBytes = size_t{4} << 10;

  // In the next turn.
  size_t bytes() const { return bytes_; }

  // So many bytes have come, with so many frames in them, or with work that takes as long.
  void OnRead(size_t bytes, size_t frames) {
    const size_t affordable = bytes * kFramesPerTurnMax / std::max<size_t>(frames, 1);
    bytes_ = std::clamp(std::min(affordable, 2 * bytes_), kBytesMin, kBytesMax);
  }

 private:
  size_t bytes_ = kFirstBytes;
};

}  // namespace mokv::rpc
