// FloodCounts: how many connections ended for what kind of flood, by the words that their clients heard.
//
// Threads: thread-safe. It is counted once for a connection at most.
// Bounds:  the words are those of FloodWatch's table and a few more, none of a client's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/mutex.h"

namespace mokv::rpc {

class FloodCounts {
 public:
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
