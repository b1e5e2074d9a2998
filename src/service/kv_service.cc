#include "service/kv_service.h"

#include <utility>

#include "api/kv.pb.h"
#include "base/status.h"
#include "service/fate.h"
#include "service/kv_wire.h"
#include "service/list_source.h"
#include "service/patience.h"
#include "service/session_service.h"

namespace mokv::service {
namespace {

using replica::ReadRequirement;
using replica::WriteResult;

// One message of each type a thread, so that strings keep their memory from call to call.
template <typename Message>
Message& Reused() {
  static thread_local Message message;
  return message;
}

template <typename Request>
ReadRequirement RequirementOf(const Request& request) {
  return {.linearizable = request.consistency() != api::STALE,
          .min_revision = Revision(request.min_revision())};
}

absl::Status NoValue(std::string_view key) {
  return MakeStatus(absl::StatusCode::kNotFound, "no value for key: {}", key);
}

absl::Status ConditionFailed(std::string_view key, Revision expected, Revision found) {
  if (found == Revision(0)) {
    return FailedPrecondition("key {} does not exist, so its revision is 0, not {}", key, expected);
  }
  return FailedPrecondition("revision of key {} is {}, not {}", key, found, expected);
}

template <typename Request>
std::optional<Revision> ExpectedOf(const Request& request) {
  if (!request.has_expected_revision()) return std::nullopt;
  return Revision(request.expected_revision());
}

// An empty context is none. A number without a session means that its client counts on one.
absl::Status CheckContext(const api::WriteContext& context) {
  if (context.session() == 0) {
    return context.sequence() == 0 ? absl::OkStatus() : NoSession(SessionId(0));
  }
  if (context.sequence() != 0) return absl::OkStatus();
  return InvalidArgument("sequence 0 of session {}; sequences begin at 1", context.session());
}

template <typename Request>
std::optional<machine::SessionContext> SessionOf(const Request& request, std::string_view subject) {
  const api::WriteContext& context = request.context();
  if (context.session() == 0) return std::nullopt;
  return machine::SessionContext{.session = SessionId(context.session()),
                                 .sequence = context.sequence(),
                                 .lowest_unanswered = context.lowest_unanswered(),
                                 .subject = std::string(subject)};
}

}  // namespace

KvService::KvService(ReadDoor& reads, WriteDoor& writes, const Permission& permission,
                     Options options)
    : reads_(reads), writes_(writes), permission_(permission), options_(std::move(options)) {}

void KvService::Register(rpc::Server& server) {
  server.AddUnary("/api.KV/Get", [this](rpc::UnaryCall& call) { Get(call); });
  server.AddUnary("/api.KV/Set", [this](rpc::UnaryCall& call) { Set(call); });
  server.AddUnary("/api.KV/Delete", [this](rpc::UnaryCall& call) { Delete(call); });
  server.AddServerStream("/api.KV/List", [this](rpc::ServerStreamCall& call) { List(call); });
  server.AddUnary("/api.KV/GetServers", [this](rpc::UnaryCall& call) { GetServers(call); });
}

void KvService::Get(rpc::UnaryCall& call) {
  api::GetRequest& request = Reused<api::GetRequest>();
  absl::Status status = ParseRequest(call.request(), request);
  if (status.ok()) {
    status = permission_.Check(call, request.key(), auth::kConsume, Permission::Effect::kReads);
  }
  if (status.ok()) status = CheckKey(request.key());
  if (!status.ok()) return call.Fail(std::move(status));

  const ReadRequirement requirement = RequirementOf(request);
  if (store::Reader* reader = reads_.Now(requirement, call.io_thread())) [[likely]] {
    const store::Item* item = reader->Find(request.key());
    if (item == nullptr) return call.Fail(NoValue(request.key()));
    AppendGetResponse(item->fields(), call.response());
    call.Finish();
    return;
  }
  reads_.Wait(requirement, GiveUpAt(call, kWaitMax), call.io_thread(),
              [key = request.key(), responder = call.Defer()](const absl::Status& ready,
                                                              store::Reader& reader) mutable {
                if (!ready.ok()) return responder.Fail(ready);
                const store::Item* item = reader.Find(key);
                if (item == nullptr) return responder.Fail(NoValue(key));
                std::string response;
                AppendGetResponse(item->fields(), response);
                responder.Finish(std::move(response));
              });
}

void KvService::Set(rpc::UnaryCall& call) {
  api::SetRequest& request = Reused<api::SetRequest>();
  absl::Status status = ParseRequest(call.request(), request);
  if (status.ok()) {
    status = permission_.Check(call, request.key(), auth::kProduce, Permission::Effect::kWrites);
  }
  if (status.ok()) status = CheckKey(request.key());
  if (status.ok()) status = CheckContext(request.context());
  if (status.ok() && request.value().size() > options_.value_bytes_max) {
    status = InvalidArgument("value of {} bytes is over the limit of {} (max-value-bytes)",
                             request.value().size(), options_.value_bytes_max);
  }
  if (!status.ok()) return Fail(call, NotBegun(std::move(status)));
  Write(call,
        store::Set{std::move(*request.mutable_key()), std::move(*request.mutable_value()),
                   ExpectedOf(request)},
        SessionOf(request, call.subject()),
        [](const machine::Result& result, std::string& response) {
          AppendSetResponse(result.revision, response);
        });
}

void KvService::Delete(rpc::UnaryCall& call) {
  api::DeleteRequest& request = Reused<api::DeleteRequest>();
  absl::Status status = ParseRequest(call.request(), request);
  if (status.ok()) {
    status = permission_.Check(call, request.key(), auth::kProduce, Permission::Effect::kWrites);
  }
  if (status.ok()) status = CheckKey(request.key());
  if (status.ok()) status = CheckContext(request.context());
  if (!status.ok()) return Fail(call, NotBegun(std::move(status)));
  Write(call, store::Delete{request.key(), ExpectedOf(request)}, SessionOf(request, call.subject()),
        [](const machine::Result& result, std::string& response) {
          AppendDeleteResponse(result.revision, result.deleted, response);
        });
}

void KvService::Write(rpc::UnaryCall& call, store::Operation operation,
                      std::optional<machine::SessionContext> session, Append append) {
  const std::optional<Revision> expected = store::ExpectedOf(operation);
  // Only a failed condition needs the key again.
  std::string key = expected.has_value() ? store::KeyOf(operation) : std::string();
  const SessionId id = session.has_value() ? session->session : SessionId(0);
  const uint64_t sequence = session.has_value() ? session->sequence : 0;
  machine::Command command = std::move(operation);
  command.session = std::move(session);
  writes_.Write(
      std::move(command), std::string(call.subject()), GiveUpAt(call, kWaitMax),
      [key = std::move(key), expected = expected.value_or(Revision(0)), id, sequence, append,
       responder = call.Defer(UnknownAtDeadline())](const WriteResult& result) mutable {
        using Outcome = machine::Result::Outcome;
        if (result.fate != WriteResult::Fate::kApplied) return Fail(responder, FailureOf(result));
        const machine::Result& applied = result.applied;
        if (applied.outcome == Outcome::kConditionFailed) {
          return Fail(responder, NotBegun(ConditionFailed(key, expected, applied.found_revision)));
        }
        if (applied.outcome != Outcome::kApplied) {
          return Fail(responder, NotBegun(RefusalOfSession(applied.outcome, id, sequence)));
        }
        std::string response;
        append(applied, response);
        responder.Finish(std::move(response));
      });
}

void KvService::List(rpc::ServerStreamCall& call) {
  api::ListRequest request;
  absl::Status status = ParseRequest(call.request(), request);
  if (!status.ok()) return call.Fail(std::move(status));
  ItemFilter filter(permission_.access(), std::string(call.subject()), request.prefix(),
                    permission_.object_is_any());
  status = permission_.CheckList(call, request.prefix(), filter);
  if (!status.ok()) return call.Fail(std::move(status));
  ListSource::Query query{.prefix = request.prefix(), .limit = request.limit()};
  const ReadRequirement requirement = RequirementOf(request);
  if (reads_.Now(requirement, call.io_thread()) != nullptr) {
    call.Start(std::make_unique<ListSource>(reads_.TakeView(), std::move(query), std::move(filter),
                                            call.waker()));
    return;
  }
  reads_.Wait(requirement, GiveUpAt(call, kWaitMax), call.io_thread(),
              [this, query = std::move(query), filter = std::move(filter), waker = call.waker(),
               responder = call.Defer()](const absl::Status& ready, store::Reader&) mutable {
                if (!ready.ok()) return responder.Fail(ready);
                responder.Start(std::make_unique<ListSource>(reads_.TakeView(), std::move(query),
                                                             std::move(filter), waker));
              });
}

void KvService::GetServers(rpc::UnaryCall& call) {
  // Needs only the certificate; the request is google.protobuf.Empty, whose content is ignored.
  api::GetServersResponse response;
  for (const replica::ClusterMember& member : options_.cluster().members) {
    api::Server& server = *response.add_servers();
    server.set_id(member.name);
    server.set_rpc_addr(member.rpc_address);
    server.set_is_leader(member.is_leader);
    server.set_is_learner(!member.is_voter);
    server.set_applied_index(member.applied_index.value());
  }
  call.response() += response.SerializeAsString();
  call.Finish();
}

}  // namespace mokv::service
