#include <fmt/format.h>

#include "engine/counts.h"
#include "engine/process_usage.h"

namespace mokv::bench {

std::string CountsJson() {
  return fmt::format(R"({{"cpu_us":{},"resident_bytes":{}}})", CpuMicroseconds(), ResidentBytes());
}

}  // namespace mokv::bench
