// ClusterService: the gRPC service api.Cluster, for operators. Every method needs the action
// `admin` on the object `cluster`.
//
// Threads: handlers run on the I/O threads; changes, and snapshots that begin, are
//          answered from the replica thread.
// Owner:   borrows store, replica and permission.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "machine/machine.h"
#include "replica/replica.h"
#include "rpc/server.h"
#include "service/gossip_member.h"
#include "service/permission.h"

namespace mokv::service {

class ClusterService {
 public:
  struct Options {
    std::string node_id;
    std::string instance_id;
    std::string rpc_address;
    std::string version;
    // Whether health says SERVING; thread-safe.
    std::function<bool()> serving;
    // What is not well with this node, in a few words each; thread-safe.
    std::function<std::vector<std::string>()> conditions;
    // Who gossips; thread-safe.
    std::function<std::vector<GossipMember>()> gossip;
  };

  ClusterService(machine::Machine& machine, replica::Replica& replica, const Permission& permission,
                 Options options);

  void Register(rpc::Server& server);

 private:
  // A change without a deadline is given this long: a new member may be slow to answer.
  static constexpr Duration kWaitMax = std::chrono::seconds(30);

  absl::Status Authorize(rpc::Call& call, Permission::Effect effect) const;
  void Status(rpc::UnaryCall& call);
  void MemberList(rpc::UnaryCall& call);
  void MemberAdd(rpc::UnaryCall& call);
  void MemberRemove(rpc::UnaryCall& call);
  void TransferLeadership(rpc::UnaryCall& call);
  void CheckAccess(rpc::UnaryCall& call);
  void SaveSnapshot(rpc::ServerStreamCall& call);
  // Answered with an empty message.
  void Change(rpc::UnaryCall& call, replica::AdminRequest request);

  machine::Machine& machine_;
  replica::Replica& replica_;
  const Permission& permission_;
  const Options options_;
};

}  // namespace mokv::service
