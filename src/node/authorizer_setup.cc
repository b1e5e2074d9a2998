#include "node/authorizer_setup.h"

#include "base/file.h"
#include "base/logging.h"
#include "base/status.h"

namespace mokv {

absl::StatusOr<AccessTexts> ReadAccessFiles(const Config& config) {
  AccessTexts texts;
  if (config.acl_model_file.empty()) return texts;
  FileSystem& files = PosixFileSystem();
  MOKV_ASSIGN_OR_RETURN(texts.model, files.ReadFile(config.acl_model_file));
  MOKV_ASSIGN_OR_RETURN(texts.policy, files.ReadFile(config.acl_policy_file));
  return texts;
}

absl::StatusOr<std::shared_ptr<const auth::Authorizer>> CompileAccess(const Config& config,
                                                                      const AccessTexts& texts) {
  if (config.acl_model_file.empty()) {
    LogWarn("no acl-model-file and acl-policy-file: every authenticated subject may do everything");
    return auth::Authorizer::AllowAll();
  }
  return auth::Authorizer::Create(texts.model, config.acl_model_file, texts.policy,
                                  config.acl_policy_file);
}

}  // namespace mokv
