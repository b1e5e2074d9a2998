#include "base/check.h"

#include <cstdio>
#include <cstdlib>

#include "base/logging.h"

namespace mokv {
namespace {

// The log may say what led here, so it gets a moment. A reader of it that stands still must not
// keep a broken process alive.
constexpr Duration kLastWordsMax = std::chrono::milliseconds(200);

}  // namespace

void CheckFailed(const char* file, int line, const std::string& message) {
  FlushLog(kLastWordsMax);
  fmt::print(stderr, "{}:{}: check failed: {}\n", file, line, message);
  std::fflush(stderr);
  std::abort();
}

}  // namespace mokv
