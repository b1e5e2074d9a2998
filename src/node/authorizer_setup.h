// What a node's access settings come to: the compiled model and policy.
//
// Errors: names the file, and the line where there is one.
#pragma once

#include <absl/status/statusor.h>

#include <memory>

#include "auth/authorizer.h"
#include "node/config.h"

namespace mokv {

absl::StatusOr<std::shared_ptr<const auth::Authorizer>> LoadAuthorizer(const Config& config);

}  // namespace mokv
