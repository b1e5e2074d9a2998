// Authorizer: which subject may do what to which object, as an access model and a policy say.
//
// Owner:   whoever makes it; shared, so that calls that are under way finish with the one they began
//          with while a reload puts a new one in its place.
// Threads: immutable, so thread-safe.
// Cost:    Allows: auth/program.h; nothing parsed. No lock and no allocation either, unless a rule that is
//          asked has an expression for RE2 (which keeps what it learns of texts, behind a lock), or joins
//          texts of the request. Decide makes a text. Ranges looks at all rules of the subject and the
//          action.
// Errors:  a model or a policy that is not wholly understood is refused, naming file and line:
//          half a policy could be more open than the whole one.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/program.h"
#include "auth/ranges.h"

namespace mokv::auth {

inline constexpr std::string_view kConsume = "consume";  // Get, List.
inline constexpr std::string_view kProduce = "produce";  // Set, Delete.
inline constexpr std::string_view kAdmin = "admin";      // The cluster's service.

// A decision and why.
struct Decision {
  bool allowed = false;
  // The line of the policy that decided. None when no rule matched, and when the model's matcher or
  // effect says it without a rule.
  std::optional<int> line;
  // That rule as it could stand in the file, or a sentence that says why there is none.
  std::string text;
};

// PERMISSION_DENIED: "SUBJECT not permitted to ACTION to OBJECT".
absl::Status NotPermitted(std::string_view subject, std::string_view object,
                          std::string_view action);

class Authorizer {
 public:
  // The names are for messages only. A request is made of a subject, an object and an action: the model's
  // request fields are `sub`, `obj` and `act`, or some of them, in any order.
  static absl::StatusOr<std::shared_ptr<const Authorizer>> Create(const std::string& model_text,
                                                                  const std::string& model_name,
                                                                  const std::string& policy_text,
                                                                  const std::string& policy_name);
  // For a node without access files: every subject that the transport let in may do everything.
  static std::shared_ptr<const Authorizer> AllowAll();

  bool Allows(std::string_view subject, std::string_view object, std::string_view action) const;
  Decision Decide(std::string_view subject, std::string_view object, std::string_view action) const;
  // All objects, in byte order: allowed, not allowed, or to be asked for one by one. Whether a whole range
  // is allowed, and whether anything is: AllowedWithin and MightAllowSome.
  std::vector<ObjectRange> Ranges(std::string_view subject, std::string_view action) const;

 private:
  static constexpr size_t kParts = 3;  // Subject, object, action.

  Authorizer() = default;
  // Calls `ask` with the model's request.
  template <typename Ask>
  auto With(std::string_view subject, std::string_view object, std::string_view action,
            const Ask& ask) const;

  std::unique_ptr<const Program> program_;  // Null: all is allowed.
  // Which part each of the model's request fields is.
  std::array<size_t, kParts> parts_ = {};
};

}  // namespace mokv::auth
