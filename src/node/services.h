// Services: what clients call on a node: the gRPC server with all services, the doors between them
// and the replica, and what is kept of finished calls.
//
// Threads: made and destroyed by main; what they serve runs on the I/O threads.
// Owner:   node/. Borrows its parts, which must outlive it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "machine/machine.h"
#include "net/io_pool.h"
#include "node/config.h"
#include "node/security.h"
#include "replica/replica.h"
#include "rpc/server.h"
#include "service/call_log.h"
#include "service/cluster_service.h"
#include "service/gossip_member.h"
#include "service/kv_service.h"
#include "service/replica_doors.h"
#include "service/session_service.h"
#include "standard/health_service.h"
#include "standard/reflection_service.h"
#include "telemetry/request_log.h"

namespace mokv {

class Services {
 public:
  struct Parts {
    const Config* config;
    const Clock* clock;
    net::IoPool* io;
    machine::Machine* machine;
    replica::Replica* replica;
    const Security* security;
    standard::HealthService* health;
    telemetry::RequestLog* request_log;
    std::string instance_id;
    std::string rpc_address;
    std::string version;
    // For operators, both. Thread-safe.
    std::function<std::vector<std::string>()> conditions;
    std::function<std::vector<service::GossipMember>()> gossip;
  };

  explicit Services(const Parts& parts);

  rpc::Server& server() { return server_; }
  const service::CallLog& calls() const { return calls_; }

 private:
  service::CallLog calls_;
  rpc::Server server_;
  service::ReplicaReadDoor reads_;
  service::ReplicaWriteDoor writes_;
  service::KvService kv_;
  service::ClusterService cluster_;
  service::SessionService sessions_;
  standard::ReflectionService reflection_;
};

}  // namespace mokv
