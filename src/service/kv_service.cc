#include "service/kv_service.h"

#include <utility>

#include "api/kv.pb.h"
#include "base/status.h"
#include "service/fate.h"
#include "service/kv_wire.h"
#include "service/list_source.h"
#include "service/patience.h"

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

// Sessions come with api.Session; until then none is open, and a write in one is not applied.
template <typename Request>
absl::Status CheckSession(const Request& request) {
  if (!request.has_context() || request.context().session() == 0) return absl::OkStatus();
  return FailedPrecondition("session {} is unknown or has expired", request.context().session());
}

}  // namespace

KvService::KvService(ReadDoor& reads, WriteDoor& writes,
                     std::shared_ptr<const auth::Authorizer> authorizer, Options options)
    : reads_(reads),
      writes_(writes),
      authorizer_(std::move(authorizer)),
      options_(std::move(options)) {}

void KvService::Register(rpc::Server& server) {
  server.AddUnary("/api.KV/Get", [this](rpc::UnaryCall& call) { Get(call); });
  server.AddUnary("/api.KV/Set", [this](rpc::UnaryCall& call) { Set(call); });
  server.AddUnary("/api.KV/Delete", [this](rpc::UnaryCall& call) { Delete(call); });
  server.AddServerStream("/api.KV/List", [this](rpc::ServerStreamCall& call) { List(call); });
  server.AddUnary("/api.KV/GetServers", [this](rpc::UnaryCall& call) { GetServers(call); });
}

absl::Status KvService::Authorize(const rpc::Call& call, std::string_view key,
                                  std::string_view action) const {
  return authorizer_->Check(call.subject(), options_.object_is_any ? "*" : key, action);
}

void KvService::Get(rpc::UnaryCall& call) {
  api::GetRequest& request = Reused<api::GetRequest>();
  absl::Status status = ParseRequest(call.request(), request);
  if (status.ok()) status = Authorize(call, request.key(), auth::kConsume);
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
  if (status.ok()) status = Authorize(call, request.key(), auth::kProduce);
  if (status.ok()) status = CheckKey(request.key());
  if (status.ok()) status = CheckSession(request);
  if (status.ok() && request.value().size() > options_.value_bytes_max) {
    status = InvalidArgument("value of {} bytes is over the limit of {} (max-value-bytes)",
                             request.value().size(), options_.value_bytes_max);
  }
  if (!status.ok()) return Fail(call, NotBegun(std::move(status)));
  Write(call,
        store::Set{std::move(*request.mutable_key()), std::move(*request.mutable_value()),
                   ExpectedOf(request)},
        [](const machine::Result& result, std::string& response) {
          AppendSetResponse(result.revision, response);
        });
}

void KvService::Delete(rpc::UnaryCall& call) {
  api::DeleteRequest& request = Reused<api::DeleteRequest>();
  absl::Status status = ParseRequest(call.request(), request);
  if (status.ok()) status = Authorize(call, request.key(), auth::kProduce);
  if (status.ok()) status = CheckKey(request.key());
  if (status.ok()) status = CheckSession(request);
  if (!status.ok()) return Fail(call, NotBegun(std::move(status)));
  Write(call, store::Delete{request.key(), ExpectedOf(request)},
        [](const machine::Result& result, std::string& response) {
          AppendDeleteResponse(result.revision, result.deleted, response);
        });
}

void KvService::Write(rpc::UnaryCall& call, store::Operation operation, Append append) {
  const std::optional<Revision> expected = store::ExpectedOf(operation);
  // Only a failed condition needs the key again.
  std::string key = expected.has_value() ? store::KeyOf(operation) : std::string();
  writes_.Write(std::move(operation), std::string(call.subject()), GiveUpAt(call, kWaitMax),
                [key = std::move(key), expected = expected.value_or(Revision(0)), append,
                 responder = call.Defer(UnknownAtDeadline())](const WriteResult& result) mutable {
                  if (result.fate != WriteResult::Fate::kApplied)
                    return Fail(responder, FailureOf(result));
                  if (result.applied.outcome == machine::Result::Outcome::kConditionFailed) {
                    return Fail(responder, NotBegun(ConditionFailed(
                                               key, expected, result.applied.found_revision)));
                  }
                  std::string response;
                  append(result.applied, response);
                  responder.Finish(std::move(response));
                });
}

void KvService::List(rpc::ServerStreamCall& call) {
  api::ListRequest request;
  if (absl::Status status = ParseRequest(call.request(), request); !status.ok()) {
    return call.Fail(std::move(status));
  }
  ListSource::Query query{.prefix = request.prefix(), .limit = request.limit()};
  if (options_.object_is_any) {
    // One question for all items.
    absl::Status status = authorizer_->Check(call.subject(), "*", auth::kConsume);
    if (!status.ok()) return call.Fail(std::move(status));
  } else if (!authorizer_->MightAllow(call.subject(), auth::kConsume)) {
    return call.Fail(MakeStatus(absl::StatusCode::kPermissionDenied, "{} not permitted to {} to *",
                                call.subject(), auth::kConsume));
  } else {
    query.authorizer = authorizer_;
    query.subject = call.subject();
  }
  const ReadRequirement requirement = RequirementOf(request);
  if (reads_.Now(requirement, call.io_thread()) != nullptr) {
    call.Start(std::make_unique<ListSource>(reads_.TakeView(), std::move(query), call.waker()));
    return;
  }
  reads_.Wait(
      requirement, GiveUpAt(call, kWaitMax), call.io_thread(),
      [this, query = std::move(query), waker = call.waker(), responder = call.Defer()](
          const absl::Status& ready, store::Reader&) mutable {
        if (!ready.ok()) return responder.Fail(ready);
        responder.Start(std::make_unique<ListSource>(reads_.TakeView(), std::move(query), waker));
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
