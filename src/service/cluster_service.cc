#include "service/cluster_service.h"

#include <utility>

#include "api/cluster.pb.h"
#include "base/status.h"
#include "net/address.h"
#include "service/fate.h"
#include "service/kv_wire.h"
#include "service/patience.h"
#include "service/saved_snapshot_source.h"
#include "telemetry/process_metrics.h"

namespace mokv::service {

ClusterService::ClusterService(machine::Machine& machine, replica::Replica& replica,
                               const Permission& permission, Options options)
    : machine_(machine), replica_(replica), permission_(permission), options_(std::move(options)) {}

void ClusterService::Register(rpc::Server& server) {
  using Handler = void (ClusterService::*)(rpc::UnaryCall&);
  using Effect = Permission::Effect;
  const auto add = [&](const char* path, Effect effect, Handler handler) {
    server.AddUnary(path, [this, effect, handler](rpc::UnaryCall& call) {
      if (absl::Status status = Authorize(call, effect); !status.ok())
        return Fail(call, NotBegun(std::move(status)));
      (this->*handler)(call);
    });
  };
  add("/api.Cluster/Status", Effect::kReads, &ClusterService::Status);
  add("/api.Cluster/MemberList", Effect::kReads, &ClusterService::MemberList);
  add("/api.Cluster/MemberAdd", Effect::kWrites, &ClusterService::MemberAdd);
  add("/api.Cluster/MemberRemove", Effect::kWrites, &ClusterService::MemberRemove);
  add("/api.Cluster/TransferLeadership", Effect::kWrites, &ClusterService::TransferLeadership);
  add("/api.Cluster/CheckAccess", Effect::kReads, &ClusterService::CheckAccess);
  server.AddServerStream("/api.Cluster/SaveSnapshot",
                         [this](rpc::ServerStreamCall& call) { SaveSnapshot(call); });
}

absl::Status ClusterService::Authorize(rpc::Call& call, Permission::Effect effect) const {
  return permission_.Check(call, kClusterObject, auth::kAdmin, effect);
}

void ClusterService::Status(rpc::UnaryCall& call) {
  const replica::Report status = replica_.report();
  api::StatusResponse response;
  response.set_id(options_.node_id);
  response.set_instance_id(options_.instance_id);
  response.set_cluster_id(replica_.cluster_id());
  response.set_rpc_addr(options_.rpc_address);
  response.set_role(std::string(replica::RoleText(status)));
  response.set_leader(status.leader);
  response.set_last_index(status.last_index.value());
  response.set_term(status.term.value());
  response.set_commit_index(status.commit_index.value());
  response.set_applied_index(status.applied_index.value());
  response.set_revision(machine_.revision().value());
  response.set_keys(machine_.stats().keys);
  response.set_store_bytes(machine_.memory_bytes());
  response.set_resident_bytes(telemetry::ResidentBytes());
  response.set_version(options_.version);
  response.set_serving(options_.serving());
  for (const std::string& condition : options_.conditions()) response.add_conditions(condition);
  for (const replica::StateDigest& digest : status.digests) {
    api::StateDigest& out = *response.add_digests();
    out.set_index(digest.index.value());
    out.set_format(digest.format);
    out.set_low(digest.low);
    out.set_high(digest.high);
  }
  response.set_compared_index(status.counters.compared_index);
  call.response() += response.SerializeAsString();
  call.Finish();
}

void ClusterService::MemberList(rpc::UnaryCall& call) {
  const replica::ClusterView view = replica_.View();
  api::MemberListResponse response;
  response.set_cluster_id(view.cluster_id);
  response.set_term(view.term.value());
  for (const replica::ClusterMember& member : view.members) {
    api::Member& out = *response.add_members();
    out.set_id(member.name);
    out.set_rpc_addr(member.rpc_address);
    out.set_instance_id(member.instance_id);
    out.set_is_voter(member.is_voter);
    out.set_is_leader(member.is_leader);
    out.set_applied_index(member.applied_index.value());
  }
  for (const GossipMember& member : options_.gossip()) {
    api::GossipMember& out = *response.add_gossip();
    out.set_id(member.name);
    out.set_address(member.address);
    out.set_status(member.status);
    out.set_role(member.role);
    out.set_round_trip_us(static_cast<uint64_t>(member.round_trip / std::chrono::microseconds(1)));
  }
  call.response() += response.SerializeAsString();
  call.Finish();
}

void ClusterService::MemberAdd(rpc::UnaryCall& call) {
  api::MemberAddRequest request;
  absl::Status status = ParseRequest(call.request(), request);
  if (status.ok() && request.id().empty()) status = InvalidArgument("the new member has no name");
  if (status.ok()) status = net::ParseHostPort(request.rpc_addr()).status();
  if (!status.ok()) return Fail(call, NotBegun(std::move(status)));
  Change(call, {.kind = replica::AdminRequest::Kind::kAddMember,
                .name = request.id(),
                .rpc_address = request.rpc_addr()});
}

void ClusterService::MemberRemove(rpc::UnaryCall& call) {
  api::MemberRemoveRequest request;
  absl::Status status = ParseRequest(call.request(), request);
  if (status.ok() && request.id().empty()) status = InvalidArgument("no member is named");
  if (!status.ok()) return Fail(call, NotBegun(std::move(status)));
  Change(call, {.kind = replica::AdminRequest::Kind::kRemoveMember, .name = request.id()});
}

void ClusterService::TransferLeadership(rpc::UnaryCall& call) {
  api::TransferLeadershipRequest request;
  if (absl::Status status = ParseRequest(call.request(), request); !status.ok()) {
    return Fail(call, NotBegun(std::move(status)));
  }
  Change(call, {.kind = replica::AdminRequest::Kind::kTransfer, .name = request.id()});
}

void ClusterService::CheckAccess(rpc::UnaryCall& call) {
  api::CheckAccessRequest request;
  if (absl::Status status = ParseRequest(call.request(), request); !status.ok()) {
    return Fail(call, NotBegun(std::move(status)));
  }
  const std::string object = permission_.object_is_any() ? "*" : request.object();
  const auth::Decision decision = permission_.access()
                                      .rules_of(call.io_thread())
                                      .Decide(request.subject(), object, request.action());
  api::CheckAccessResponse response;
  response.set_allowed(decision.allowed);
  response.set_line(static_cast<uint64_t>(decision.line.value_or(0)));
  response.set_rule(decision.text);
  response.set_object(object);
  call.response() += response.SerializeAsString();
  call.Finish();
}

void ClusterService::SaveSnapshot(rpc::ServerStreamCall& call) {
  api::SaveSnapshotRequest request;
  // It changes nothing, and lets everything out.
  absl::Status status = Authorize(call, Permission::Effect::kWrites);
  if (status.ok()) status = ParseRequest(call.request(), request);
  if (!status.ok()) return call.Fail(std::move(status));
  replica_.Freeze([this, subject = std::string(call.subject()), responder = call.Defer()](
                      absl::StatusOr<replica::FrozenSnapshot> snapshot) mutable {
    if (!snapshot.ok()) return responder.Fail(snapshot.status());
    responder.Start(std::make_unique<SavedSnapshotSource>(
        *std::move(snapshot), [this, subject = std::move(subject)] {
          return permission_.CheckAgain(subject, kClusterObject, auth::kAdmin);
        }));
  });
}

void ClusterService::Change(rpc::UnaryCall& call, replica::AdminRequest request) {
  request.subject = std::string(call.subject());
  replica_.Request(std::move(request), GiveUpAt(call, kWaitMax),
                   [responder = call.Defer(UnknownAtDeadline())](const absl::Status& status,
                                                                 bool fate_unknown) mutable {
                     if (!status.ok())
                       return Fail(responder, FailureOfChange(status, fate_unknown));
                     responder.Finish({});
                   });
}

}  // namespace mokv::service
