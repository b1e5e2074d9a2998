// ReadQueue: the reads of one I/O thread that cannot be answered at once. All plain linearizable
// ones that have come by the end of a turn of its loop ask the replica together, and are answered
// together on their own thread: one event for the replica and one wake-up back, however many they
// are. Those that want a revision too are rare and may wait long, so they ask one by one.
//
// Threads: confined to its I/O thread. Owner: must outlive it. What waits is kept here, and not in
//          what the replica is given: it goes with this object, before the server whose calls it
//          answers.
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
  // Called on the I/O thread, when the state may be read, or with the reason why not.
  using Ready = absl::AnyInvocable<void(const absl::Status& status)>;

  ReadQueue(net::IoThread& thread, const Clock& clock, replica::Replica& replica);

  void Add(const replica::ReadRequirement& requirement, MonotonicTime give_up_at, Ready ready);

 private:
  struct Read {
    MonotonicTime give_up_at;
    Ready ready;
  };
  // How often it looks for reads whose time is up.
  static constexpr Duration kExpiryInterval = std::chrono::milliseconds(20);

  void AskTogether();
  void Ask(const replica::ReadRequirement& requirement, MonotonicTime give_up_at,
           std::vector<Read> reads);
  void Finish(uint64_t question, const absl::Status& status);
  void WatchExpiry();
  void Expire();

  net::IoThread& thread_;
  const Clock& clock_;
  replica::Replica& replica_;
  std::vector<Read> forming_;
  std::map<uint64_t, std::vector<Read>> asked_;
  uint64_t last_question_ = 0;
  net::Timer expiry_;
  bool watching_ = false;
};

}  // namespace mokv::service
