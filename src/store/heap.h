// Heap: where the store's memory comes from, counted.
//
// Threads: confined to the store's writer, like everything that allocates.
// Units:   bytes as the allocator keeps them, its rounding included; its own tables and the pages
//          that it holds back are not.
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
  // As Allocate, at the begin of a cache line.
  void* AllocateLines(size_t size_bytes);
  // Nothing for null.
  void Free(void* memory);

  uint64_t used_bytes() const { return used_bytes_; }

  static constexpr size_t kCacheLineBytes = 64;

 private:
  uint64_t used_bytes_ = 0;
};

}  // namespace mokv::store
