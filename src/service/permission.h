// Permission: whether a call may do what it asks for, by the access rules in force, and what the
// audit log is to hear of it. Every service asks it about every key that a call touches.
//
// Threads: thread-safe; Check on the call's I/O thread. Owner: borrows the rules.
#pragma once

#include <absl/status/status.h>

#include <memory>
#include <string>
#include <string_view>

#include "auth/access.h"
#include "rpc/call.h"
#include "service/item_filter.h"
#include "telemetry/audit_log.h"

namespace mokv::service {

// What the methods of api.Cluster are asked about.
inline constexpr std::string_view kClusterObject = "cluster";

// What was asked about a call, and what came of it: for the audit log.
struct AccessNote final : public rpc::CallNote {
  bool audited = false;  // Whatever comes of the call; otherwise only if it is denied yet.
  std::string object;
  std::string action;
  auth::Decision decision;
};

using telemetry::AuditScope;

class Permission {
 public:
  enum class Effect { kReads, kWrites };
  struct Options {
    // Every key is asked about as the object `*`, as mokv's first version did.
    bool object_is_any = false;
    AuditScope audit = AuditScope::kNone;
  };

  explicit Permission(const auth::Access& access) : Permission(access, Options()) {}
  Permission(const auth::Access& access, Options options) : access_(access), options_(options) {}

  // OK, or PERMISSION_DENIED: "SUBJECT not permitted to ACTION to OBJECT".
  absl::Status Check(rpc::Call& call, std::string_view object, std::string_view action,
                     Effect effect) const;
  // The same for a call that goes through all keys with a prefix and gets those that `filter` lets it
  // see.
  absl::Status CheckList(rpc::Call& call, std::string_view prefix, const ItemFilter& filter) const;
  // For a call that goes on for some time: whether it still may, by rules that are in force now.
  absl::Status CheckAgain(std::string_view subject, std::string_view object,
                          std::string_view action) const;
  // Of somebody whom another node speaks for. `decision` is filled in if it is wanted for the audit.
  absl::Status CheckForwarded(std::string_view subject, std::string_view object,
                              std::string_view action, auth::Decision* decision) const;

  bool object_is_any() const { return options_.object_is_any; }
  const auth::Access& access() const { return access_; }

 private:
  std::string_view ObjectOf(std::string_view object) const {
    return options_.object_is_any ? "*" : object;
  }

  const auth::Access& access_;
  const Options options_;
};

}  // namespace mokv::service
