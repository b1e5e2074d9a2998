// Runs one measurement in a child process of its own, which inherits the keys and hands its figures
// back through a pipe.
#pragma once

#include <absl/status/statusor.h>

#include <functional>

#include "bench/store/measure.h"

namespace mokv::bench {

// To be called while the process has one thread. INTERNAL when the child did not end well, for
// example because it ran out of memory.
absl::StatusOr<Sample> InChild(const std::function<Sample()>& measure);

}  // namespace mokv::bench
