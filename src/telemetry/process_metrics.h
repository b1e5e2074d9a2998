// The standard process_* metrics of Prometheus clients, read from /proc at each scrape: CPU
// seconds, resident and virtual memory, open and allowed file descriptors, start time, threads.
//
// Threads: thread-safe. Errors: what cannot be read is left out.
#pragma once

#include "telemetry/exposition.h"

namespace mokv::telemetry {

void WriteProcessMetrics(MetricsWriter& writer);

// Resident memory in bytes; 0 when it cannot be read.
uint64_t ResidentBytes();

}  // namespace mokv::telemetry
