#include "telemetry/metrics.h"

namespace mokv::telemetry {

uint64_t LatencySnapshot::count() const {
  uint64_t total = 0;
  for (const uint64_t count : counts) total += count;
  return total;
}

void LatencySnapshot::Merge(const LatencySnapshot& other) {
  for (size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
  sum_ns += other.sum_ns;
}

LatencySnapshot LatencyHistogram::Snapshot() const {
  LatencySnapshot snapshot;
  for (size_t i = 0; i < counts_.size(); ++i) snapshot.counts[i] = counts_[i].value();
  snapshot.sum_ns = sum_ns_.value();
  return snapshot;
}

}  // namespace mokv::telemetry
