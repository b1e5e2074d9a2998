#include "base/random.h"

#include <fmt/format.h>
#include <sys/random.h>

#include "base/check.h"

namespace mokv {

std::string NewUniqueId() {
  uint64_t words[2];
  MOKV_CHECK_EQ(getrandom(words, sizeof(words), 0), static_cast<ssize_t>(sizeof(words)));
  return fmt::format("{:016x}{:016x}", words[0], words[1]);
}

uint64_t NewSalt() {
  uint64_t salt;
  MOKV_CHECK_EQ(getrandom(&salt, sizeof(salt), 0), static_cast<ssize_t>(sizeof(salt)));
  return salt;
}

}  // namespace mokv
