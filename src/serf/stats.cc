#include "serf/stats.h"

namespace mokv::serf {

std::string_view NameOf(Drop reason) {
  switch (reason) {
    case Drop::kMalformed:
      return "malformed";
    case Drop::kUnknownType:
      return "unknown_type";
    case Drop::kChecksum:
      return "checksum";
    case Drop::kWrongKey:
      return "wrong_key";
    case Drop::kTooLarge:
      return "too_large";
    case Drop::kMisaddressed:
      return "misaddressed";
    case Drop::kVersions:
      return "versions";
    case Drop::kAbsurd:
      return "absurd";
    case Drop::kTableFull:
      return "table_full";
    case Drop::kQueueFull:
      return "queue_full";
    case Drop::kStale:
      return "stale";
    case Drop::kCount:
      break;
  }
  return "unknown";
}

}  // namespace mokv::serf
