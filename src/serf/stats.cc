#include "serf/stats.h"

#include <iterator>

namespace mokv::serf {

std::string_view NameOf(Drop reason) {
  static constexpr std::string_view kNames[] = {
      "malformed", "unknown_type", "checksum",   "wrong_key",  "too_large", "misaddressed",
      "versions",  "absurd",       "table_full", "queue_full", "stale"};
  static_assert(std::size(kNames) == kDropReasons);
  return kNames[static_cast<size_t>(reason)];
}

}  // namespace mokv::serf
