#include "node/services.h"

#include <algorithm>

namespace mokv {
namespace {

// The server answers a request over its limit with RESOURCE_EXHAUSTED. A value just over
// max-value-bytes must come as far as the service, which answers INVALID_ARGUMENT.
constexpr uint64_t kMessageBytesMin = uint64_t{4} << 20;
constexpr uint64_t kMessageBytesBeyondValue = uint64_t{1} << 20;

rpc::Server::Options ServerOptions(const Config& config) {
  rpc::Server::Options options;
  options.message_bytes_max =
      std::max(kMessageBytesMin, config.max_value_bytes + kMessageBytesBeyondValue);
  return options;
}

}  // namespace

Services::Services(const Parts& parts)
    : calls_(*parts.request_log, parts.security->audit()),
      server_(*parts.io, ServerOptions(*parts.config), &calls_),
      reads_(*parts.io, *parts.clock, *parts.machine, *parts.replica),
      writes_(*parts.replica),
      kv_(reads_, writes_, parts.security->permission(),
          {.value_bytes_max = parts.config->max_value_bytes,
           .cluster = [replica = parts.replica] { return replica->View(); }}),
      cluster_(*parts.machine, *parts.replica, parts.security->permission(),
               {.node_id = parts.config->node_name,
                .instance_id = parts.instance_id,
                .rpc_address = parts.rpc_address,
                .version = parts.version,
                .serving = [health = parts.health] { return health->serving(); },
                .conditions = parts.conditions,
                .gossip = parts.gossip}),
      sessions_(writes_) {
  kv_.Register(server_);
  sessions_.Register(server_);
  cluster_.Register(server_);
  parts.health->Register(server_);
  reflection_.Register(server_);  // The last: it tells of those above.
  calls_.Prepare(server_, parts.io->size());
}

}  // namespace mokv
