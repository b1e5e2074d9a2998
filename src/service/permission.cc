#include "service/permission.h"

#include <optional>
#include <utility>

namespace mokv::service {
namespace {

void LeaveNote(rpc::Call& call, bool audited, std::string object, std::string_view action,
               auth::Decision decision) {
  auto note = std::make_unique<AccessNote>();
  note->audited = audited;
  note->object = std::move(object);
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
  // The decision alone, where nobody wants to know why, costs a tenth.
  if (!audited && rules.Allows(call.subject(), asked, action)) return absl::OkStatus();
  if (options_.audit != AuditScope::kNone) {
    auth::Decision decision = rules.Decide(call.subject(), asked, action);
    const bool allowed = decision.allowed;
    LeaveNote(call, /*audited=*/true, std::string(object), action, std::move(decision));
    if (allowed) return absl::OkStatus();
  }
  return auth::NotPermitted(call.subject(), asked, action);
}

absl::Status Permission::CheckList(rpc::Call& call, std::string_view prefix,
                                   const ItemFilter& filter) const {
  const std::string object = std::string(prefix) + "*";
  if (options_.object_is_any) return Check(call, object, auth::kConsume, Effect::kReads);
  const bool allowed = filter.MightShowAny();
  // It may be denied only later: when other rules come while it goes on.
  if (options_.audit != AuditScope::kNone) {
    LeaveNote(call, options_.audit == AuditScope::kAll || !allowed, object, auth::kConsume,
              {.allowed = allowed,
               .line = std::nullopt,
               .text = allowed ? "item by item" : "no rule could allow any"});
  }
  return allowed ? absl::OkStatus() : auth::NotPermitted(call.subject(), "*", auth::kConsume);
}

absl::Status Permission::CheckAgain(std::string_view subject, std::string_view object,
                                    std::string_view action) const {
  return CheckForwarded(subject, object, action, nullptr);
}

absl::Status Permission::CheckForwarded(std::string_view subject, std::string_view object,
                                        std::string_view action, auth::Decision* decision) const {
  const std::shared_ptr<const auth::Authorizer> rules = access_.rules();
  const std::string_view asked = ObjectOf(object);
  bool allowed = false;
  if (options_.audit == AuditScope::kNone || decision == nullptr) {
    allowed = rules->Allows(subject, asked, action);
  } else {
    *decision = rules->Decide(subject, asked, action);
    allowed = decision->allowed;
  }
  return allowed ? absl::OkStatus() : auth::NotPermitted(subject, asked, action);
}

}  // namespace mokv::service
