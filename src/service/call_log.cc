#include "service/call_log.h"

#include <optional>
#include <string_view>

#include "service/permission.h"
#include "telemetry/exposition.h"

namespace mokv::service {
namespace {

// By the leader, or by rules that came while the call went on.
constexpr std::string_view kDeniedLater = "allowed at first, then denied by other access rules";

}  // namespace

void CallLog::Prepare(const rpc::Server& server, size_t io_threads) {
  methods_ = server.method_paths();
  methods_.push_back("unknown");
  for (size_t i = 0; i < io_threads; ++i) {
    tables_.push_back(std::make_unique<telemetry::CallTable>(methods_.size()));
    table_pointers_.push_back(tables_.back().get());
  }
}

void CallLog::OnCallFinished(const rpc::CallRecord& record) {
  const size_t method = record.method == rpc::kUnknownMethod ? methods_.size() - 1 : record.method;
  tables_[record.io_thread]->Record(method, record.code, record.duration);
  // Notes are of one kind.
  const auto* note = static_cast<const AccessNote*>(record.note);
  const bool is_denied = record.code == absl::StatusCode::kPermissionDenied;
  if (note != nullptr && audit_ != nullptr && (note->audited || is_denied)) {
    const bool denied_later = is_denied && note->decision.allowed;
    audit_->Record({.subject = record.subject,
                    .peer = record.peer_address,
                    .forwarded_by = {},
                    .method = record.path,
                    .object = note->object,
                    .action = note->action,
                    .allowed = !is_denied && note->decision.allowed,
                    .rule = denied_later ? kDeniedLater : note->decision.text,
                    .line = denied_later ? std::nullopt : note->decision.line,
                    .code = record.code});
  }
  log_.Record({.method = record.path,
               .subject = record.subject,
               .peer = record.peer_address,
               .code = record.code,
               .duration = record.duration,
               .request_bytes = record.request_bytes,
               .response_bytes = record.response_bytes});
}

void CallLog::WriteMetrics(telemetry::MetricsWriter& writer) const {
  telemetry::WriteCallMetrics(writer, methods_, table_pointers_);
}

}  // namespace mokv::service
