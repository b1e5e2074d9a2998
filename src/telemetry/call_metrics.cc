#include "telemetry/call_metrics.h"

#include "base/check.h"

namespace mokv::telemetry {

static_assert(static_cast<size_t>(absl::StatusCode::kUnauthenticated) + 1 == kStatusCodes);

void MethodCalls::Merge(const MethodCalls& other) {
  for (size_t i = 0; i < by_code.size(); ++i) by_code[i] += other.by_code[i];
  latency.Merge(other.latency);
}

CallTable::CallTable(size_t methods)
    : method_count_(methods), by_method_(std::make_unique<Method[]>(methods)) {}

void CallTable::Record(size_t method, absl::StatusCode code, Duration duration) {
  MOKV_CHECK_LT(method, method_count_);
  size_t number = static_cast<size_t>(code);
  if (number >= kStatusCodes) number = static_cast<size_t>(absl::StatusCode::kUnknown);
  by_method_[method].by_code[number].Add();
  by_method_[method].latency.Record(duration);
}

MethodCalls CallTable::Snapshot(size_t method) const {
  MOKV_CHECK_LT(method, method_count_);
  MethodCalls calls;
  for (size_t i = 0; i < kStatusCodes; ++i) {
    calls.by_code[i] = by_method_[method].by_code[i].value();
  }
  calls.latency = by_method_[method].latency.Snapshot();
  return calls;
}

void WriteCallMetrics(MetricsWriter& writer, std::span<const std::string> method_names,
                      std::span<const CallTable* const> tables) {
  for (size_t method = 0; method < method_names.size(); ++method) {
    MethodCalls calls;
    for (const CallTable* table : tables) {
      MOKV_CHECK_EQ(table->methods(), method_names.size());
      calls.Merge(table->Snapshot(method));
    }
    for (size_t code = 0; code < kStatusCodes; ++code) {
      if (calls.by_code[code] == 0 && code != 0) continue;
      writer.Counter("mokv_rpc_calls_total", "Calls that have ended, by method and status code.",
                     calls.by_code[code],
                     {{"method", method_names[method]},
                      {"code", StatusCodeName(static_cast<absl::StatusCode>(code))}});
    }
    writer.Histogram("mokv_rpc_call_duration_seconds",
                     "Time from the arrival of a call's headers to its status.", calls.latency,
                     {{"method", method_names[method]}});
  }
}

std::string StatusCodeName(absl::StatusCode code) {
  const std::string name = absl::StatusCodeToString(code);
  return name.empty() ? "UNKNOWN" : name;  // Empty: not one of gRPC's numbers.
}

}  // namespace mokv::telemetry
