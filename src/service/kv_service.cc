#include "service/kv_service.h"

#include <utility>

#include "api/kv.pb.h"
#include "base/check.h"
#include "base/status.h"
#include "service/fate.h"
#include "service/kv_wire.h"
#include "service/list_source.h"

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

// Whether a read that must wait is answered on its own I/O thread.
bool ComesBack(const ReadRequirement& requirement) {
  return requirement.linearizable && requirement.min_revision == Revision(0);
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

KvService::KvService(net::IoPool& pool, machine::Machine& machine, replica::Replica& replica,
                     std::shared_ptr<const auth::Authorizer> authorizer, Options options)
    : machine_(machine),
      replica_(replica),
      authorizer_(std::move(authorizer)),
      options_(std::move(options)) {
  for (size_t i = 0; i < pool.size(); ++i) {
    reads_.push_back(std::make_unique<ReadQueue>(pool.thread(i), SystemClock(), replica_));
    readers_.push_back(std::make_unique<store::Reader>(machine_.store()));
    pool.thread(i).AtTurnEnd([reader = readers_.back().get()] { reader->Leave(); });
  }
}

KvService::~KvService() = default;

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

MonotonicTime KvService::GiveUpAt(const rpc::Call& call) const {
  const MonotonicTime longest = call.received() + kWaitMax;
  if (call.deadline() == MonotonicTime::Max()) return longest;
  return std::min(longest, call.received() + (call.deadline() - call.received()) / 10 * 9);
}

void KvService::Get(rpc::UnaryCall& call) {
  api::GetRequest& request = Reused<api::GetRequest>();
  absl::Status status = ParseRequest(call.request(), request);
  if (status.ok()) status = Authorize(call, request.key(), auth::kConsume);
  if (status.ok()) status = CheckKey(request.key());
  if (!status.ok()) return call.Fail(std::move(status));

  const ReadRequirement requirement = RequirementOf(request);
  if (replica_.CanReadNow(requirement)) [[likely]] {
    const store::Item* item = readers_[call.io_thread()]->Find(request.key());
    if (item == nullptr) return call.Fail(NoValue(request.key()));
    AppendGetResponse(item->fields(), call.response());
    call.Finish();
    return;
  }
  store::Reader* reader = ComesBack(requirement) ? readers_[call.io_thread()].get() : nullptr;
  WhenReadable(call, requirement,
               [this, reader, key = request.key(),
                responder = call.Defer()](const absl::Status& ready) mutable {
                 if (!ready.ok()) return responder.Fail(ready);
                 const auto view = reader == nullptr ? machine_.TakeView() : nullptr;
                 const store::Item* item = reader == nullptr ? view->Find(key) : reader->Find(key);
                 if (item == nullptr) return responder.Fail(NoValue(key));
                 std::string response;
                 AppendGetResponse(item->fields(), response);
                 responder.Finish(std::move(response));
               });
}

// Reads that wait for a revision are rare and may wait long, so they wait one by one.
void KvService::WhenReadable(const rpc::Call& call, const ReadRequirement& requirement,
                             replica::ReadReady ready) {
  if (ComesBack(requirement)) {
    reads_[call.io_thread()]->Add(GiveUpAt(call), std::move(ready));
  } else {
    replica_.WaitForRead(requirement, GiveUpAt(call), std::move(ready));
  }
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
  if (!status.ok()) return call.Fail(std::move(status));

  store::Set command{std::move(*request.mutable_key()), std::move(*request.mutable_value()),
                     ExpectedOf(request)};
  // Only a failed condition needs the key again.
  std::string key = command.expected_revision.has_value() ? command.key : std::string();
  const Revision expected = command.expected_revision.value_or(Revision(0));
  replica_.Propose(
      {.command = std::move(command),
       .subject = std::string(call.subject()),
       .give_up_at = GiveUpAt(call)},
      [key = std::move(key), expected,
       responder = call.Defer(kUnknownAtDeadline)](const WriteResult& result) mutable {
        if (result.fate != WriteResult::Fate::kApplied) return responder.Fail(FailureOf(result));
        if (result.applied.outcome == machine::Result::Outcome::kConditionFailed) {
          return responder.Fail(ConditionFailed(key, expected, result.applied.found_revision));
        }
        std::string response;
        AppendSetResponse(result.applied.revision, response);
        responder.Finish(std::move(response));
      });
}

void KvService::Delete(rpc::UnaryCall& call) {
  api::DeleteRequest& request = Reused<api::DeleteRequest>();
  absl::Status status = ParseRequest(call.request(), request);
  if (status.ok()) status = Authorize(call, request.key(), auth::kProduce);
  if (status.ok()) status = CheckKey(request.key());
  if (status.ok()) status = CheckSession(request);
  if (!status.ok()) return call.Fail(std::move(status));

  store::Delete command{request.key(), ExpectedOf(request)};
  replica_.Propose(
      {.command = std::move(command),
       .subject = std::string(call.subject()),
       .give_up_at = GiveUpAt(call)},
      [key = request.key(), expected = ExpectedOf(request).value_or(Revision(0)),
       responder = call.Defer(kUnknownAtDeadline)](const WriteResult& result) mutable {
        if (result.fate != WriteResult::Fate::kApplied) return responder.Fail(FailureOf(result));
        if (result.applied.outcome == machine::Result::Outcome::kConditionFailed) {
          return responder.Fail(ConditionFailed(key, expected, result.applied.found_revision));
        }
        std::string response;
        AppendDeleteResponse(result.applied.revision, result.applied.deleted, response);
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
  if (replica_.CanReadNow(requirement)) {
    call.Start(std::make_unique<ListSource>(machine_.TakeView(), std::move(query), call.waker()));
    return;
  }
  WhenReadable(
      call, requirement,
      [this, query = std::move(query), waker = call.waker(),
       responder = call.Defer()](const absl::Status& ready) mutable {
        if (!ready.ok()) return responder.Fail(ready);
        responder.Start(std::make_unique<ListSource>(machine_.TakeView(), std::move(query), waker));
      });
}

void KvService::GetServers(rpc::UnaryCall& call) {
  // Needs only the certificate; the request is google.protobuf.Empty, whose content is ignored.
  api::GetServersResponse response;
  for (const replica::ClusterMember& member : replica_.View().members) {
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
