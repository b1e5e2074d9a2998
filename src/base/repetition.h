// Repetition: limits lines of the same kind. The first few of a second are shown, the others are
// counted, and the count is told once the second is over.
//
// Threads: confined, or guarded by its owner. Pure: time comes in.
// Bounds:  kKindsMax kinds at a time; what comes beyond shares one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace mokv {

class Repetition {
 public:
  // Enough to see whom or what it concerns; few enough that a flood of them costs nothing.
  static constexpr uint64_t kShownMax = 20;
  static constexpr Duration kPeriod = std::chrono::seconds(1);
  // Kinds may contain what a client chose, such as the name of a method.
  static constexpr size_t kKindsMax = 256;
  static constexpr std::string_view kOtherKind = "other";

  struct Suppressed {
    std::string kind;
    uint64_t count = 0;
  };

  // Whether a line of this kind is to be shown. If not, it has been counted.
  bool Admit(std::string_view kind, MonotonicTime now) {
    auto found = kinds_.find(kind);
    if (found == kinds_.end()) {
      if (kinds_.size() >= kKindsMax) kind = kOtherKind;
      found = kinds_.try_emplace(std::string(kind), Kind{.since = now}).first;
    }
    Kind& known = found->second;
    // A period that has counted lines ends when the owner takes the counts, which is soon.
    if (known.suppressed == 0 && now - known.since >= kPeriod) known = Kind{.since = now};
    if (known.shown < kShownMax) {
      ++known.shown;
      return true;
    }
    ++known.suppressed;
    return false;
  }

  // What was counted in periods that are over; with `all`, in all of them. Forgets these kinds.
  std::vector<Suppressed> Take(MonotonicTime now, bool all = false) {
    std::vector<Suppressed> taken;
    std::erase_if(kinds_, [&](const auto& item) {
      const auto& [kind, known] = item;
      if (!all && now - known.since < kPeriod) return false;
      if (known.suppressed > 0) taken.push_back({kind, known.suppressed});
      return true;
    });
    return taken;
  }

 private:
  struct Kind {
    MonotonicTime since;
    uint64_t shown = 0;
    uint64_t suppressed = 0;
  };

  std::map<std::string, Kind, std::less<>> kinds_;
};

}  // namespace mokv
