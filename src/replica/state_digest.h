// What a node's state came to at an entry of the log: machine::Machine::digest. A plain value.
#pragma once

#include <cstdint>

#include "base/ids.h"

namespace mokv::replica {

struct StateDigest {
  Index index;
  uint32_t format = 0;
  uint64_t low = 0;
  uint64_t high = 0;
};

}  // namespace mokv::replica
