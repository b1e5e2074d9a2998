// Access: the access rules in force. A reload puts others in their place, all at once.
//
// Threads: rules_of(i) is for I/O thread i alone; everything else is thread-safe.
// Cost:    rules_of compares an address; no lock, unless the rules have just been replaced.
// Bounds:  a thread that asks nothing keeps the rules that it asked last in memory.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "auth/authorizer.h"
#include "base/mutex.h"

namespace mokv::auth {

class Access {
 public:
  Access(std::shared_ptr<const Authorizer> rules, size_t io_threads);

  // Valid until the same thread asks again.
  const Authorizer& rules_of(size_t io_thread) const {
    Seat& seat = seats_[io_thread];
    if (seat.rules.get() != newest_.load(std::memory_order_acquire)) [[unlikely]]
      seat.rules = rules();
    return *seat.rules;
  }
  std::shared_ptr<const Authorizer> rules() const;
  // Whether `rules` are in force. Cheap.
  bool IsInForce(const Authorizer& rules) const {
    return newest_.load(std::memory_order_acquire) == &rules;
  }

  // Whoever asks from now on gets these.
  void Replace(std::shared_ptr<const Authorizer> rules);

 private:
  // What a thread holds: as long as it does, no other rules can have that address.
  struct alignas(64) Seat {
    std::shared_ptr<const Authorizer> rules;
  };

  mutable std::vector<Seat> seats_;
  mutable Mutex mutex_;
  std::shared_ptr<const Authorizer> rules_ ABSL_GUARDED_BY(mutex_);
  std::atomic<const Authorizer*> newest_;
};

}  // namespace mokv::auth
