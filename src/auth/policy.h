// The access policy: rules, one a line, as in Casbin's policy.csv. Pure function.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

namespace mokv::auth {

struct Rule {
  std::string subject;
  std::string object;
  std::string action;

  bool operator==(const Rule&) const = default;
};

// Lines are `p, subject, object, action`, empty, or comments that begin with `#`. White space
// around a field does not belong to it, unless the field is in double quotes (RFC 4180; a field
// cannot go on over the end of its line). INVALID_ARGUMENT for anything else, naming `name` and
// the line.
absl::StatusOr<std::vector<Rule>> ParsePolicy(std::string_view text, std::string_view name);

}  // namespace mokv::auth
