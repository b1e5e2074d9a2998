// Reloading: keeps what a node has read from files as new as the files: access rules, certificates
// with their revocation lists, and the gossip's keys. New ones take effect at once and as a whole;
// ones that cannot be used change nothing, and are told: in the log, as a metric and as a condition.
//
// Threads: Look is for one thread, which may wait for a disk; the rest is thread-safe, but for
//          Watch and SetLoad, which come before the first Look.
// Owner:   node/.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "node/reload_schedule.h"

namespace mokv {

class Reloading {
 public:
  // Reads the files and uses what they say, or says why it cannot and changes nothing.
  using Load = absl::AnyInvocable<absl::Status()>;
  // A look that has been under way for longer hangs, which counts as a failure.
  static constexpr Duration kLookMax = std::chrono::seconds(10);
  struct Counts {
    uint64_t done = 0;
    uint64_t failed = 0;
    std::string failure;  // Of the last try; empty: it was used.
  };

  explicit Reloading(const Clock& clock) : clock_(clock) {}

  // To be called before `files` are read for the first time: a change since then is seen. Without
  // files nothing is watched. `what` is for people: "access rules".
  void Watch(std::string what, std::vector<std::string> files);
  void SetLoad(const std::string& what, Load load);

  // Looks at all files, and reads those that have changed; with `asked` all.
  void Look(bool asked);

  // By what is watched.
  std::map<std::string, Counts> counts() const;

 private:
  struct Watched {
    std::string what;
    std::vector<std::string> files;
    ReloadSchedule schedule;
    Load load;
  };

  void LookAtOne(Watched& watched, bool asked);
  void Reload(Watched& watched, FileLooks look);

  const Clock& clock_;
  std::vector<Watched> watched_;
  mutable Mutex mutex_;
  std::map<std::string, Counts> counts_ ABSL_GUARDED_BY(mutex_);
  // The look that is under way; nullopt: none.
  std::optional<std::string> looking_at_ ABSL_GUARDED_BY(mutex_);
  MonotonicTime looking_since_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mokv
