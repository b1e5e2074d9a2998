#include "service/session_service.h"

#include <string>
#include <utility>

#include "api/session.pb.h"
#include "base/status.h"
#include "machine/sessions.h"
#include "service/fate.h"
#include "service/kv_wire.h"
#include "service/patience.h"

namespace mokv::service {
namespace {

using replica::WriteResult;
using Outcome = machine::Result::Outcome;

}  // namespace

absl::Status NoSession(SessionId session) {
  return FailedPrecondition("session {} is unknown or has expired", session);
}

absl::Status RefusalOfSession(Outcome outcome, SessionId session, uint64_t sequence) {
  switch (outcome) {
    case Outcome::kNoSession:
      return NoSession(session);
    case Outcome::kAnswerGone:
      return FailedPrecondition(
          "sequence {} of session {} is below lowest_unanswered: its answer is not kept", sequence,
          session);
    case Outcome::kTooManyUnanswered:
      return ResourceExhausted("session {} has {} unanswered writes, which is the limit", session,
                               machine::Sessions::kUnansweredMax);
    case Outcome::kTooManySessions:
      return ResourceExhausted("{} sessions are open, which is the limit",
                               machine::Sessions::kSessionsMax);
    case Outcome::kApplied:
    case Outcome::kConditionFailed:
      break;
  }
  return absl::OkStatus();
}

void SessionService::Register(rpc::Server& server) {
  server.AddUnary("/api.Session/Open", [this](rpc::UnaryCall& call) { Open(call); });
  server.AddUnary("/api.Session/KeepAlive", [this](rpc::UnaryCall& call) { KeepAlive(call); });
  server.AddUnary("/api.Session/Close", [this](rpc::UnaryCall& call) { Close(call); });
}

void SessionService::Open(rpc::UnaryCall& call) {
  api::OpenRequest request;
  if (absl::Status status = ParseRequest(call.request(), request); !status.ok()) {
    return Fail(call, NotBegun(std::move(status)));
  }
  const uint64_t ttl_ms = request.ttl_ms() == 0 ? kTtlMsDefault : request.ttl_ms();
  std::string subject(call.subject());
  machine::Command open = machine::OpenSession{ttl_ms, subject};
  if (machine::CheckCommand(open).ok()) {
    return writes_.Write(
        std::move(open), std::move(subject), GiveUpAt(call, kWaitMax),
        [ttl_ms, responder = call.Defer(UnknownAtDeadline())](const WriteResult& result) mutable {
          if (result.fate != WriteResult::Fate::kApplied) return Fail(responder, FailureOf(result));
          if (result.applied.outcome != Outcome::kApplied) {
            return Fail(responder,
                        NotBegun(RefusalOfSession(result.applied.outcome, SessionId(0), 0)));
          }
          api::OpenResponse response;
          response.set_session(result.applied.session.value());
          response.set_ttl_ms(ttl_ms);
          responder.Finish(response.SerializeAsString());
        });
  }
  Fail(call, NotBegun(InvalidArgument("ttl_ms {} is not within {} and {}", ttl_ms,
                                      machine::kSessionTtlMsMin, machine::kSessionTtlMsMax)));
}

void SessionService::KeepAlive(rpc::UnaryCall& call) {
  api::KeepAliveRequest request;
  absl::Status status = ParseRequest(call.request(), request);
  const SessionId session(request.session());
  if (status.ok() && session == SessionId(0)) status = NoSession(session);
  if (!status.ok()) return Fail(call, NotBegun(std::move(status)));
  std::string subject(call.subject());
  machine::Command keep_alive = machine::KeepAlive{{{session, subject}}};
  writes_.Write(
      std::move(keep_alive), std::move(subject), GiveUpAt(call, kWaitMax),
      [session, responder = call.Defer(UnknownAtDeadline())](const WriteResult& result) mutable {
        if (result.fate != WriteResult::Fate::kApplied) return Fail(responder, FailureOf(result));
        // An answer without its number would be another node's mistake: it promises nothing.
        const uint64_t ttl_ms = result.applied.ttls_ms.empty() ? 0 : result.applied.ttls_ms.front();
        if (ttl_ms == 0) return Fail(responder, NotBegun(NoSession(session)));
        api::KeepAliveResponse response;
        response.set_ttl_ms(ttl_ms);
        responder.Finish(response.SerializeAsString());
      });
}

void SessionService::Close(rpc::UnaryCall& call) {
  api::CloseRequest request;
  absl::Status status = ParseRequest(call.request(), request);
  const SessionId session(request.session());
  if (status.ok() && session == SessionId(0)) status = NoSession(session);
  if (!status.ok()) return Fail(call, NotBegun(std::move(status)));
  std::string subject(call.subject());
  machine::Command close = machine::CloseSession{session, subject};
  writes_.Write(
      std::move(close), std::move(subject), GiveUpAt(call, kWaitMax),
      [session, responder = call.Defer(UnknownAtDeadline())](const WriteResult& result) mutable {
        if (result.fate != WriteResult::Fate::kApplied) return Fail(responder, FailureOf(result));
        if (result.applied.outcome != Outcome::kApplied) {
          return Fail(responder, NotBegun(NoSession(session)));
        }
        responder.Finish({});
      });
}

}  // namespace mokv::service
