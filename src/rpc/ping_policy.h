// PingPolicy: how often a client may ask for a sign of life, as gRPC has it (its proposals A8 and
// A9): a PING that comes too early is a strike, too many strikes end the connection, and an answer
// that leaves wipes them out. So clients may measure a link with PINGs while answers flow.
//
// Threads: a value of its connection. Pure: time comes in.
#pragma once

#include <algorithm>
#include <optional>

#include "base/clock.h"

namespace mokv::rpc {

class PingPolicy {
 public:
  struct Limits {
    Duration interval_min{0};                // Zero: any PING may come.
    Duration interval_min_without_calls{0};  // While no call is open, if that is longer.
    int strikes_max = 0;
  };
  explicit PingPolicy(const Limits& limits) : limits_(limits) {}

  // A PING that asks. False: it was one too many, and the connection is to end.
  bool Allows(MonotonicTime now, bool has_calls) {
    const Duration interval =
        has_calls ? limits_.interval_min
                  : std::max(limits_.interval_min, limits_.interval_min_without_calls);
    const bool early = last_.has_value() && now - *last_ < interval;
    last_ = now;
    return !early || ++strikes_ <= limits_.strikes_max;
  }

  // HEADERS or DATA have left.
  void OnAnswer() {
    last_.reset();
    strikes_ = 0;
  }

 private:
  const Limits limits_;
  std::optional<MonotonicTime> last_;
  int strikes_ = 0;
};

}  // namespace mokv::rpc
