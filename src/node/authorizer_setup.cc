#include "node/authorizer_setup.h"

#include "base/file.h"
#include "base/logging.h"
#include "base/status.h"

namespace mokv {

absl::StatusOr<std::shared_ptr<const auth::Authorizer>> LoadAuthorizer(const Config& config) {
  if (config.acl_model_file.empty()) {
    LogWarn("no acl-model-file and acl-policy-file: every authenticated subject may do everything");
    return auth::Authorizer::AllowAll();
  }
  FileSystem& files = PosixFileSystem();
  MOKV_ASSIGN_OR_RETURN(const std::string model, files.ReadFile(config.acl_model_file));
  MOKV_ASSIGN_OR_RETURN(const std::string policy, files.ReadFile(config.acl_policy_file));
  return auth::Authorizer::Create(model, config.acl_model_file, policy, config.acl_policy_file);
}

}  // namespace mokv
