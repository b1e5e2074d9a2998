// ClusterService: the gRPC service api.Cluster, for operators. Every method needs the action
// `admin` on the object `cluster`.
//
// Threads: handlers run on the I/O threads; changes, and snapshots that begin, are
//          answered from the replica thread.
// Owner:   borrows store and replica.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "auth/authorizer.h"
#include "machine/machine.h"
#include "replica/replica.h"
#include "rpc/server.h"
#include "service/gossip_member.h"

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
    // What is not well with this node, in a few words each; thread-safe.
    std::function<std::vector<std::string>()> conditions;
    // Who gossips; thread-safe.
    std::function<std::vector<GossipMember>()> gossip;
  };

  ClusterService(machine::Machine& machine, replica::Replica& replica,
                 std::shared_ptr<const auth::Authorizer> authorizer, Options options);

  void Register(rpc::Server& server);

 private:
  // A change without a deadline is given this long: a new member may be slow to answer.
  static constexpr Duration kWaitMax = std::chrono::seconds(30);

  absl::Status Authorize(const rpc::Call& call) const;
  void Status(rpc::UnaryCall& call);
  void MemberList(rpc::UnaryCall& call);
  void MemberAdd(rpc::UnaryCall& call);
  void MemberRemove(rpc::UnaryCall& call);
  void TransferLeadership(rpc::UnaryCall& call);
  void SaveSnapshot(rpc::ServerStreamCall& call);
  // Answered with an empty message.
  void Change(rpc::UnaryCall& call, replica::AdminRequest request);

  machine::Machine& machine_;
  replica::Replica& replica_;
  const std::shared_ptr<const auth::Authorizer> authorizer_;
  const Options options_;
};

}  // namespace mokv::service
