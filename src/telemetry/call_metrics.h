// Calls by method and status code, with their latencies: each I/O thread counts in a table of its
// own, and a scrape adds the tables up.
//
// Threads: Record is confined to the table's one thread; Snapshot is thread-safe.
// Owner:   whoever runs the I/O threads. Tables live until nobody scrapes any more.
#pragma once

#include <absl/status/status.h>

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "telemetry/exposition.h"
#include "telemetry/metrics.h"

namespace mokv::telemetry {

// gRPC's codes, 0 (OK) to 16 (UNAUTHENTICATED); the same numbers as absl::StatusCode.
inline constexpr size_t kStatusCodes = 17;

struct MethodCalls {
  std::array<uint64_t, kStatusCodes> by_code{};
  LatencySnapshot latency;

  void Merge(const MethodCalls& other);
};

class CallTable {
 public:
  // Methods are numbered from 0 as in the list of names that WriteCallMetrics is given.
  explicit CallTable(size_t methods);
  CallTable(const CallTable&) = delete;
  CallTable& operator=(const CallTable&) = delete;

  // A code outside of gRPC's counts as UNKNOWN, as clients take it.
  void Record(size_t method, absl::StatusCode code, Duration duration);
  MethodCalls Snapshot(size_t method) const;
  size_t methods() const { return method_count_; }

 private:
  // A line of its own for each method keeps tables of different threads off each other's lines.
  struct alignas(kCacheLineBytes) Method {
    std::array<Counter, kStatusCodes> by_code;
    LatencyHistogram latency;
  };
  const size_t method_count_;
  const std::unique_ptr<Method[]> by_method_;
};

// mokv_rpc_calls_total{method,code} and mokv_rpc_call_duration_seconds{method}. Only codes that
// occurred are written, except OK, which is there from the start so that rates begin at zero.
void WriteCallMetrics(MetricsWriter& writer, std::span<const std::string> method_names,
                      std::span<const CallTable* const> tables);

// gRPC's name of a code, as in NOT_FOUND.
std::string StatusCodeName(absl::StatusCode code);

}  // namespace mokv::telemetry
