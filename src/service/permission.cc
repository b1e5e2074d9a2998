#include "service/permission.h"

#include "base/status.h"

namespace mokv::service {
namespace {

// The decision alone, where nobody wants to know why, costs a tenth.
bool Decide(const auth::Authorizer& rules, std::string_view subject, std::string_view object,
            std::string_view action, auth::Decision* decision) {
  if (decision == nullptr) return rules.Allows(subject, object, action);
  *decision = rules.Decide(subject, object, action);
  return decision->allowed;
}

void LeaveNote(rpc::Call& call, std::string_view object, std::string_view action,
               auth::Decision decision) {
  auto note = std::make_unique<AccessNote>();
  note->object = object;
  note->action = action;
  note->decision = std::move(decision);
  call.Leave(std::move(note));
}

}  // namespace

absl::Status Permission::Check(rpc::Call& call, std::string_view object, std::string_view action,
                               Effect effect) const {
  const auth::Authorizer& rules = access_.rules_of(call.io_thread());
  const std::string_view asked = ObjectOf(object);
  const bool audited = options_.audit == AuditScope::kAll ||
                       (options_.audit == AuditScope::kWrites && effect == Effect::kWrites);
  if (!audited && rules.Allows(call.subject(), asked, action)) return absl::OkStatus();
  if (options_.audit != AuditScope::kNone) {
    auth::Decision decision = rules.Decide(call.subject(), asked, action);
    const bool allowed = decision.allowed;
    LeaveNote(call, object, action, std::move(decision));
    if (allowed) return absl::OkStatus();
  }
  return auth::NotPermitted(call.subject(), asked, action);
}

absl::Status Permission::CheckAny(rpc::Call& call, std::string_view prefix,
                                  std::string_view action) const {
  const auth::Authorizer& rules = access_.rules_of(call.io_thread());
  if (options_.object_is_any) return Check(call, prefix, action, Effect::kReads);
  const bool allowed = rules.MightAllow(call.subject(), action);
  if (options_.audit == AuditScope::kAll || (options_.audit == AuditScope::kWrites && !allowed)) {
    LeaveNote(call, std::string(prefix) + "*", action,
              {.allowed = allowed,
               .line = std::nullopt,
               .text = allowed ? "item by item" : "no rule could allow any"});
  }
  return allowed ? absl::OkStatus() : auth::NotPermitted(call.subject(), "*", action);
}

absl::Status Permission::CheckForwarded(std::string_view subject, std::string_view object,
                                        std::string_view action,
                                        auth::Decision* decision) const {
  const std::shared_ptr<const auth::Authorizer> rules = access_.rules();
  const std::string_view asked = ObjectOf(object);
  auth::Decision* wanted = options_.audit == AuditScope::kNone ? nullptr : decision;
  if (Decide(*rules, subject, asked, action, wanted)) return absl::OkStatus();
  return auth::NotPermitted(subject, asked, action);
}

}  // namespace mokv::service
