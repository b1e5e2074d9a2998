#include "bench/store/allocated.h"

#include <malloc.h>

#include <cstddef>

#include "base/check.h"

// There when the program is linked with jemalloc, as it is but for builds with sanitizers.
extern "C" [[gnu::weak]] int mallctl(const char* name, void* old_value, size_t* old_size,
                                     void* new_value, size_t new_size);

namespace mokv::bench {

uint64_t AllocatedBytes() {
  if (mallctl == nullptr) {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
  }
  MOKV_CHECK_EQ(mallctl("thread.tcache.flush", nullptr, nullptr, nullptr, 0), 0);
  // The statistics stand still until the epoch is written.
  uint64_t epoch = 1;
  MOKV_CHECK_EQ(mallctl("epoch", nullptr, nullptr, &epoch, sizeof(epoch)), 0);
  size_t allocated = 0;
  size_t size = sizeof(allocated);
  MOKV_CHECK_EQ(mallctl("stats.allocated", &allocated, &size, nullptr, 0), 0);
  return allocated;
}

void ReturnFreeMemory() {
  if (mallctl == nullptr) {
    malloc_trim(0);
    return;
  }
  MOKV_CHECK_EQ(mallctl("thread.tcache.flush", nullptr, nullptr, nullptr, 0), 0);
  // 4096 means all arenas.
  MOKV_CHECK_EQ(mallctl("arena.4096.purge", nullptr, nullptr, nullptr, 0), 0);
}

}  // namespace mokv::bench
