// Heap: where the store's memory comes from, counted.
//
// Threads: confined to the store's writer, like everything that allocates.
// Units:   bytes that the allocator sets aside for us, its rounding included. Its own tables and
//          the free pages that it keeps are not counted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mokv::store {

class Heap {
 public:
  Heap() = default;
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  // Never null: a state machine that cannot apply a command must not go on.
  void* Allocate(size_t size_bytes);
  // As Allocate, aligned to a cache line.
  void* AllocateLines(size_t size_bytes);
  // Does nothing for null.
  void Free(void* memory);

  uint64_t used_bytes() const { return used_bytes_; }

  static constexpr size_t kCacheLineBytes = 64;

 private:
  uint64_t used_bytes_ = 0;
};

}  // namespace mokv::store
