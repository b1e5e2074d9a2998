// The metrics of a node, gathered from the counters of its parts at each scrape.
//
// Threads: the callbacks run on HTTP threads; they call only what is thread-safe.
#pragma once

#include <atomic>
#include <string>

#include "machine/machine.h"
#include "net/listener.h"
#include "node/gossip.h"
#include "node/security.h"
#include "peer/peer_network.h"
#include "replica/replica.h"
#include "rpc/server.h"
#include "service/call_log.h"
#include "telemetry/exposition.h"
#include "telemetry/metrics.h"
#include "telemetry/request_log.h"
#include "wal/log.h"

namespace mokv {

// How long fdatasync took. Written by the log thread.
using LogSyncTimes = telemetry::LatencyHistogram;

// All borrowed, until nothing renders the page any more.
struct NodeParts {
  const rpc::Server* server;
  const net::Listener* listener;
  const machine::Machine* machine;
  const replica::Replica* replica;
  const peer::PeerNetwork* peers;
  const Gossip* gossip;
  const service::CallLog* calls;
  const telemetry::RequestLog* request_log;
  const Security* security;
  const LogSyncTimes* sync_times;
  const std::atomic<const wal::Log*>* log;  // Null until it is open.
  const std::atomic<uint64_t>* log_first_index;
  std::string node_name;
};

void RegisterNodeMetrics(telemetry::MetricsPage& page, NodeParts parts);

}  // namespace mokv
