// FloodCounts: how many connections ended for what kind of flood, by the words that their clients heard.
// A kind that is known has a count before its first flood: whoever draws rates would miss that one.
//
// Threads: thread-safe. It is counted once for a connection at most.
// Bounds:  the words are FloodWatch::Kinds(), none of a client's.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/mutex.h"

namespace mokv::rpc {

class FloodCounts {
 public:
  // Before anything is counted.
  void Know(std::span<const std::string_view> kinds) {
    const MutexLock lock(mutex_);
    for (const std::string_view kind : kinds) counts_.try_emplace(std::string(kind), 0);
  }
  void Add(std::string_view kind) {
    const MutexLock lock(mutex_);
    ++counts_[std::string(kind)];
  }
  std::map<std::string, uint64_t> get() const {
    const MutexLock lock(mutex_);
    return counts_;
  }

 private:
  mutable Mutex mutex_;
  std::map<std::string, uint64_t> counts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mokv::rpc
