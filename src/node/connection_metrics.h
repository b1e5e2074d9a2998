// The metrics of a node's clients: their connections, and what became of those that are not served.
//
// Threads: reads what is thread-safe; any thread.
#pragma once

#include "net/listener.h"
#include "rpc/server_telemetry.h"
#include "telemetry/exposition.h"

namespace mokv {

void WriteConnectionMetrics(telemetry::MetricsWriter& writer, const rpc::ServerStats& rpc,
                            const net::ListenerStats& listener);

}  // namespace mokv
