// ReadQueue: the linearizable reads of one I/O thread that cannot be answered at once. All that
// have come by the end of a turn of its loop ask the replica together, and are answered together on
// their own thread: one event for the replica and one wake-up back, however many they are.
//
// Threads: confined to its I/O thread. Owner: must outlive it.
// Bounds:  calls that are open; the replica bounds the questions.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <map>
#include <vector>

#include "base/clock.h"
#include "net/io_pool.h"
#include "replica/replica.h"

namespace mokv::service {

class ReadQueue {
 public:
  // Called on the I/O thread, when the store may be read, or with the reason why not.
  using Ready = absl::AnyInvocable<void(const absl::Status& status)>;

  ReadQueue(net::IoThread& thread, const Clock& clock, replica::Replica& replica);

  void Add(MonotonicTime give_up_at, Ready ready);

 private:
  struct Read {
    MonotonicTime give_up_at;
    Ready ready;
  };
  // How often it looks for reads whose time is up.
  static constexpr Duration kExpiryInterval = std::chrono::milliseconds(20);

  void Ask();
  void Finish(uint64_t batch, const absl::Status& status);
  void WatchExpiry();
  void Expire();

  net::IoThread& thread_;
  const Clock& clock_;
  replica::Replica& replica_;
  std::vector<Read> forming_;
  std::map<uint64_t, std::vector<Read>> asked_;
  uint64_t last_batch_ = 0;
  net::Timer expiry_;
  bool watching_ = false;
};

}  // namespace mokv::service
