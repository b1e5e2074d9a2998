// Published: where the writer of a persistent structure leaves each new root for the readers.
// Thread-safe. A reader takes a share under a lock, but only after something new was published.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "base/mutex.h"

namespace mokv::bench {

template <typename Frozen>
class Published {
 public:
  uint64_t revision() const { return revision_.load(std::memory_order_acquire); }

  Frozen Newest() const {
    MutexLock lock(mutex_);
    return newest_;
  }

  void Replace(Frozen frozen) {
    {
      MutexLock lock(mutex_);
      std::swap(newest_, frozen);
      revision_.fetch_add(1, std::memory_order_release);
    }
    // The state before is dropped here, outside the lock: it can be much work.
  }

 private:
  mutable Mutex mutex_;
  Frozen newest_ ABSL_GUARDED_BY(mutex_);
  // In a cache line of its own: readers look at it all the time, and only publishing writes it.
  alignas(64) std::atomic<uint64_t> revision_{0};
};

}  // namespace mokv::bench
