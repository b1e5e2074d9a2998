#include "service/cluster_service.h"

#include "api/cluster.pb.h"
#include "telemetry/process_metrics.h"

namespace mokv::service {
namespace {

constexpr std::string_view kClusterObject = "cluster";

}  // namespace

ClusterService::ClusterService(store::Store& store, replica::Replica& replica,
                               std::shared_ptr<const auth::Authorizer> authorizer, Options options)
    : store_(store),
      replica_(replica),
      authorizer_(std::move(authorizer)),
      options_(std::move(options)) {}

void ClusterService::Register(rpc::Server& server) {
  server.AddUnary("/api.Cluster/Status", [this](rpc::UnaryCall& call) { Status(call); });
}

void ClusterService::Status(rpc::UnaryCall& call) {
  const std::string_view object = options_.object_is_any ? "*" : kClusterObject;
  if (absl::Status status = authorizer_->Check(call.subject(), object, auth::kAdmin);
      !status.ok()) {
    return call.Fail(std::move(status));
  }
  const replica::Status status = replica_.status();
  api::StatusResponse response;
  response.set_id(options_.node_id);
  response.set_instance_id(options_.instance_id);
  response.set_cluster_id(replica_.cluster_id());
  response.set_rpc_addr(options_.rpc_address);
  response.set_role(status.role == replica::Role::kLeader ? "leader" : "follower");
  response.set_term(status.term.value());
  response.set_commit_index(status.commit_index.value());
  response.set_applied_index(status.applied_index.value());
  response.set_revision(store_.revision().value());
  response.set_keys(store_.stats().keys);
  response.set_store_bytes(store_.memory_bytes());
  response.set_resident_bytes(telemetry::ResidentBytes());
  response.set_version(options_.version);
  response.set_serving(options_.serving());
  call.response() += response.SerializeAsString();
  call.Finish();
}

}  // namespace mokv::service
