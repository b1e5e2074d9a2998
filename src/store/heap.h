// Heap: where the store's memory comes from, counted.
//
// Threads: confined to the store's writer, like everything that allocates.
// Units:   bytes that the allocator sets aside for us, its rounding included. Its own tables and
//          the free pages that it keeps are not counted. Nor are the states that were pinned at the
//          same time (store/published.h), apart from what they keep.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

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

// For containers of the store, so that they count, too.
template <typename T>
class HeapAllocator {
 public:
  using value_type = T;
  // A container's memory stays with it: all containers of a store share one heap.
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;

  HeapAllocator(Heap& heap) : heap_(&heap) {}  // NOLINT(google-explicit-constructor)
  template <typename Other>
  HeapAllocator(const HeapAllocator<Other>& other) : heap_(other.heap()) {}  // NOLINT

  T* allocate(size_t count) { return static_cast<T*>(heap_->Allocate(count * sizeof(T))); }
  void deallocate(T* memory, size_t) { heap_->Free(static_cast<void*>(memory)); }
  Heap* heap() const { return heap_; }
  bool operator==(const HeapAllocator&) const = default;

 private:
  Heap* heap_;
};

template <typename T>
using HeapVector = std::vector<T, HeapAllocator<T>>;

// Empties it, and gives its memory back.
template <typename T>
void Release(HeapVector<T>& vector) {
  vector.clear();
  vector.shrink_to_fit();
}

}  // namespace mokv::store
