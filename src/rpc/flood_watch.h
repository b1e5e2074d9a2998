// FloodWatch: what a client sends that costs the server much and gives it nothing: DATA frames
// without data, header blocks over the limit. A few mistakes are answered, a flood ends the
// connection.
//
// Owner:   the connection.
// Threads: confined to the connection's. Pure: time comes in.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/clock.h"
#include "rpc/flood_guard.h"

namespace mokv::rpc {

class FloodWatch {
 public:
  FloodWatch(size_t header_bytes_max, MonotonicTime now);

  // A header block begins: of a request, or its trailers.
  void OnHeaders() { block_bytes_ = 0; }
  // One more header of the block. False: so many blocks have passed the limit, or this one by so
  // much, that the connection must end.
  bool OnHeader(size_t name_and_value_bytes, MonotonicTime now);
  // A DATA frame without data that does not end its stream. False as above.
  bool OnEmptyData(MonotonicTime now);

  // More PINGs than the policy allows.
  void OnPings() { flood_ = "too_many_pings"; }

  // What there has been too much of; empty: nothing. It stays once it is set.
  std::string_view flood() const { return flood_; }

 private:
  const size_t header_bytes_max_;
  FloodGuard empty_data_;
  FloodGuard long_blocks_;
  size_t block_bytes_ = 0;  // Of the block in progress, as RFC 9113, 6.5.2 counts.
  std::string_view flood_;
};

}  // namespace mokv::rpc
