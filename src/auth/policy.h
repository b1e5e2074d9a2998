// The access policy: rules, one a line, as in Casbin's policy.csv, for one model.
//
// Lines are `p, FIELD, ...` with the fields of the model's policy definition, `g, MEMBER, ROLE` or
// `g, MEMBER, ROLE, DOMAIN` (also g2, ...), empty, or comments (auth/csv.h). Pure functions.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

#include "auth/model.h"

namespace mokv::auth {

struct Rule {
  int line = 0;
  bool denies = false;  // By its field `eft`; a model without that field has only rules that allow.
  std::vector<std::string> fields;

  bool operator==(const Rule&) const = default;
};

struct RoleRule {
  int line = 0;
  std::string kind;  // g, g2, ...
  std::string member;
  std::string role;
  std::string domain;  // Empty if the definition has none.

  bool operator==(const RoleRule&) const = default;
};

struct Policy {
  std::string name;
  // In the order in which they are asked: with a field `priority` the lowest number first, with the
  // effect subjectPriority the rules of members before those of their roles, otherwise as written.
  std::vector<Rule> rules;
  std::vector<RoleRule> roles;
};

// INVALID_ARGUMENT for anything that is not wholly understood, naming `name` and the line: half a
// policy could be more open than the whole one.
absl::StatusOr<Policy> ParsePolicy(std::string_view text, std::string_view name,
                                   const Model& model);

// As it could stand in the file.
std::string RuleText(const Rule& rule);

}  // namespace mokv::auth
