// What a store holds once it has given back what nobody needs any more.
#pragma once

#include <cstdint>

#include "store/store.h"

namespace mokv::store::testing {

inline uint64_t SettledBytes(Store& store) {
  uint64_t before = 0;
  do {
    before = store.memory_bytes();
    store.Reclaim();
  } while (store.memory_bytes() != before);
  return before;
}

}  // namespace mokv::store::testing
