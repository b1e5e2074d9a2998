// Digest: a fingerprint of the whole state, kept as the state changes. It is the sum over all items
// of a 128-bit hash of all their fields. So it does not depend on the order of the items, and a
// change costs two hashes: of the item before and after it. Two replicas that have applied the same
// commands have the same digest.
//
// It finds replicas that differ by accident. It does not protect against somebody who chooses items
// in order to make two states collide.
//
// Threads: a plain value.
#pragma once

#include <cstdint>

#include "store/item.h"

namespace mokv::store {

struct Digest {
  uint64_t low = 0;
  uint64_t high = 0;

  void Add(const ItemFields& item);
  void Remove(const ItemFields& item);
  // Of what else belongs to the state.
  Digest& operator+=(const Digest& other) {
    low += other.low;
    high += other.high;
    return *this;
  }
  Digest& operator-=(const Digest& other) {
    low -= other.low;
    high -= other.high;
    return *this;
  }
  bool operator==(const Digest&) const = default;
};

}  // namespace mokv::store
