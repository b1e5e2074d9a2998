// The access model: what requests and rules are made of, and how they are compared, as Casbin's
// model.conf says it.
//
// Sections: [request_definition] r, [policy_definition] p, [role_definition] g, g2, g3, ... (if there
// are roles), [policy_effect] e, [matchers] m. Second definitions (r2, p2, e2, m2), which Casbin has for
// programs that select among them, are refused: the service never would.
//
// Pure function.
#pragma once

#include <absl/status/statusor.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/effect.h"
#include "auth/expression.h"
#include "auth/ini.h"

namespace mokv::auth {

struct Model {
  // Bounds what a decision keeps on its stack; nobody's come near.
  static constexpr size_t kFieldsMax = 32;

  std::string name;  // The file's, for messages.
  // Where the request definition stands, as "FILE:LINE: [SECTION] KEY".
  std::string request_place;
  std::vector<std::string> request_fields;
  std::vector<std::string> policy_fields;
  // How many fields the rules of g, g2, ... have: 2, or 3 with a domain.
  std::map<std::string, int> roles;
  Effect effect = Effect::kAllowOverride;
  Expression matcher;
  Ini::Entry matcher_source;

  std::optional<size_t> RequestField(std::string_view field) const;
  std::optional<size_t> PolicyField(std::string_view field) const;
  // Where the matcher's byte at `position` stands, which may be any of its lines.
  std::string MatcherPlace(size_t position) const;
};

// INVALID_ARGUMENT for anything that is not wholly understood. The message begins with `name` and,
// where there is one, the line.
absl::StatusOr<Model> ParseModel(std::string_view text, std::string_view name);

}  // namespace mokv::auth
