#include "store/heap.h"

#include <malloc.h>

#include <cstdlib>

#include "base/check.h"

namespace mokv::store {

void* Heap::Allocate(size_t size_bytes) {
  void* memory = std::malloc(size_bytes);
  MOKV_CHECK(memory != nullptr);
  used_bytes_ += malloc_usable_size(memory);
  return memory;
}

void* Heap::AllocateLines(size_t size_bytes) {
  MOKV_CHECK_EQ(size_bytes % kCacheLineBytes, 0u);
  void* memory = std::aligned_alloc(kCacheLineBytes, size_bytes);
  MOKV_CHECK(memory != nullptr);
  used_bytes_ += malloc_usable_size(memory);
  return memory;
}

void Heap::Free(void* memory) {
  const uint64_t size_bytes = malloc_usable_size(memory);
  MOKV_CHECK_LE(size_bytes, used_bytes_);
  used_bytes_ -= size_bytes;
  std::free(memory);
}

}  // namespace mokv::store
