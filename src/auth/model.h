// The access model: how a request is compared with the policy's rules. Written as Casbin's model
// files are; two models are known, which differ in how objects are compared. Pure functions.
#pragma once

#include <absl/status/statusor.h>

#include <string_view>

namespace mokv::auth {

enum class ObjectMatch {
  // m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
  kExact,
  // m = r.sub == p.sub && keyMatch(r.obj, p.obj) && r.act == p.act
  kKeyMatch,
};

// INVALID_ARGUMENT when `text` is not a model file, FAILED_PRECONDITION when it is a model that is
// not supported. The message begins with `name` and, where there is one, the line.
absl::StatusOr<ObjectMatch> ParseModel(std::string_view text, std::string_view name);

}  // namespace mokv::auth
