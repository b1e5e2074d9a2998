// What a node's access settings come to: the compiled model and policy.
//
// Errors: names the file, and the line where there is one.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>

#include "auth/authorizer.h"
#include "node/config.h"

namespace mokv {

// What stands in the two files; empty without them.
struct AccessTexts {
  std::string model;
  std::string policy;

  bool operator==(const AccessTexts&) const = default;
};

absl::StatusOr<AccessTexts> ReadAccessFiles(const Config& config);
absl::StatusOr<std::shared_ptr<const auth::Authorizer>> CompileAccess(const Config& config,
                                                                      const AccessTexts& texts);

}  // namespace mokv
