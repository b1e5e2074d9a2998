// ForwardCheck: the leader's part of access control: what other nodes pass on is asked about here
// once more, and told to the audit log here, too.
//
// Threads: the replica thread. Owner: borrows the permission and the log.
#pragma once

#include "replica/forward_guard.h"
#include "service/permission.h"
#include "telemetry/audit_log.h"

namespace mokv::service {

class ForwardCheck final : public replica::ForwardGuard {
 public:
  // `audit` is null if none is wanted.
  ForwardCheck(const Permission& permission, telemetry::AuditLog* audit)
      : permission_(permission), audit_(audit) {}

  // Sessions need no permission; of a transaction every operation is asked about.
  absl::Status CheckWrite(std::string_view node, std::string_view subject,
                          const machine::Command& command, WriteTold& told) override;
  absl::Status CheckChange(std::string_view node, const replica::AdminRequest& request,
                           ChangeTold& told) override;

 private:
  const Permission& permission_;
  telemetry::AuditLog* const audit_;
};

}  // namespace mokv::service
