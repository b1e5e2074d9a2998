// What the program has allocated and not freed, by the allocator's own count.
#pragma once

#include <cstdint>

namespace mokv::bench {

// Of all threads; what this thread keeps in its cache counts as freed.
uint64_t AllocatedBytes();

// Gives what is free back to the system. In a forked process, so that what the parent once freed is
// not there already, resident, for the child to fill.
void ReturnFreeMemory();

}  // namespace mokv::bench
