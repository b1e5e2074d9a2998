#include "base/check.h"

#include <cstdio>
#include <cstdlib>

#include "base/logging.h"

namespace mokv {
namespace {

// What led here is worth a moment; a reader that stands still must not keep a broken process.
constexpr Duration kLastWordsMax = std::chrono::milliseconds(200);

}  // namespace

void CheckFailed(const char* file, int line, const std::string& message) {
  FlushLog(kLastWordsMax);
  fmt::print(stderr, "{}:{}: check failed: {}\n", file, line, message);
  std::fflush(stderr);
  std::abort();
}

}  // namespace mokv
