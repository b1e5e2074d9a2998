#include "service/forward_check.h"

#include <string>
#include <utility>
#include <vector>

#include "machine/result.h"
#include "service/session_service.h"

namespace mokv::service {
namespace {

using replica::WriteResult;

// What one question and its answer leave for the audit log.
struct Asked {
  std::string node;
  std::string subject;
  std::string_view method;
  std::string object;
  std::string_view action;
  auth::Decision decision;
};

void Tell(telemetry::AuditLog& audit, const Asked& asked, absl::StatusCode code) {
  audit.Record({.subject = asked.subject,
                .peer = {},
                .forwarded_by = asked.node,
                .method = asked.method,
                .object = asked.object,
                .action = asked.action,
                .allowed = asked.decision.allowed,
                .rule = asked.decision.text,
                .line = asked.decision.line,
                .code = code});
}

std::string_view MethodOf(const store::Operation& operation) {
  return std::holds_alternative<store::Set>(operation) ? "/api.KV/Set" : "/api.KV/Delete";
}

std::string_view MethodOf(replica::AdminRequest::Kind kind) {
  switch (kind) {
    case replica::AdminRequest::Kind::kAddMember:
      return "/api.Cluster/MemberAdd";
    case replica::AdminRequest::Kind::kRemoveMember:
      return "/api.Cluster/MemberRemove";
    case replica::AdminRequest::Kind::kTransfer:
      return "/api.Cluster/TransferLeadership";
  }
  return "";
}

// As the client hears it.
absl::StatusCode CodeOf(const WriteResult& result) {
  using Outcome = machine::Result::Outcome;
  if (result.fate != WriteResult::Fate::kApplied) return result.reason.code();
  if (result.applied.outcome == Outcome::kApplied) return absl::StatusCode::kOk;
  if (result.applied.outcome == Outcome::kConditionFailed) {
    return absl::StatusCode::kFailedPrecondition;
  }
  return RefusalOfSession(result.applied.outcome, SessionId(0), 0).code();
}

}  // namespace

absl::Status ForwardCheck::CheckWrite(std::string_view node, std::string_view subject,
                                      const machine::Command& command, WriteTold& told) {
  std::vector<Asked> asked;
  absl::Status status;
  for (const store::Operation& operation : command.operations) {
    auth::Decision decision;
    const std::string& key = store::KeyOf(operation);
    status = permission_.CheckForwarded(subject, key, auth::kProduce,
                                        audit_ == nullptr ? nullptr : &decision);
    if (audit_ != nullptr) {
      asked.push_back({.node = std::string(node),
                       .subject = std::string(subject),
                       .method = MethodOf(operation),
                       .object = key,
                       .action = auth::kProduce,
                       .decision = std::move(decision)});
    }
    if (!status.ok()) break;
  }
  if (!asked.empty()) {
    told = [audit = audit_, asked = std::move(asked)](const WriteResult& result) {
      for (const Asked& one : asked) Tell(*audit, one, CodeOf(result));
    };
  }
  return status;
}

absl::Status ForwardCheck::CheckChange(std::string_view node, const replica::AdminRequest& request,
                                       ChangeTold& told) {
  auth::Decision decision;
  absl::Status status = permission_.CheckForwarded(request.subject, kClusterObject, auth::kAdmin,
                                                   audit_ == nullptr ? nullptr : &decision);
  if (audit_ != nullptr) {
    told = [audit = audit_, asked = Asked{.node = std::string(node),
                                          .subject = request.subject,
                                          .method = MethodOf(request.kind),
                                          .object = std::string(kClusterObject),
                                          .action = auth::kAdmin,
                                          .decision = std::move(decision)}](
               const absl::Status& result) { Tell(*audit, asked, result.code()); };
  }
  return status;
}

}  // namespace mokv::service
