// ClusterService: the gRPC service api.Cluster, for operators. Every method needs the action
// `admin` on the object `cluster`.
//
// Threads: handlers run on the I/O threads. Owner: borrows store and replica.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "auth/authorizer.h"
#include "replica/replica.h"
#include "rpc/server.h"
#include "store/store.h"

namespace mokv::service {

class ClusterService {
 public:
  struct Options {
    std::string node_id;
    std::string instance_id;
    std::string rpc_address;
    std::string version;
    bool object_is_any = false;
    // Whether health says SERVING; thread-safe.
    std::function<bool()> serving;
  };

  ClusterService(store::Store& store, replica::Replica& replica,
                 std::shared_ptr<const auth::Authorizer> authorizer, Options options);

  void Register(rpc::Server& server);

 private:
  void Status(rpc::UnaryCall& call);

  store::Store& store_;
  replica::Replica& replica_;
  const std::shared_ptr<const auth::Authorizer> authorizer_;
  const Options options_;
};

}  // namespace mokv::service
