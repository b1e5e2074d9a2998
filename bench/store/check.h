// Differential test of the candidates against std::map, so that no wrong one is measured.
#pragma once

#include <cstdint>

namespace mokv::bench {

// Fails a check, which names the seed, when a candidate differs.
void CheckCandidates(uint64_t seed);

}  // namespace mokv::bench
