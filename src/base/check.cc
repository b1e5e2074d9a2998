#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace mokv {

void CheckFailed(const char* file, int line, const std::string& message) {
  fmt::print(stderr, "{}:{}: check failed: {}\n", file, line, message);
  std::fflush(stderr);
  std::abort();
}

}  // namespace mokv
