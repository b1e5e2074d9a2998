// The one checksum of our formats: XXH3, 64 bits, seeded.
#pragma once

#include <cstdint>
#include <string_view>

namespace mokv {

// `seed` salts the checksum, so that bytes of an earlier use of the same file do not verify.
uint64_t Checksum64(std::string_view bytes, uint64_t seed = 0);

}  // namespace mokv
