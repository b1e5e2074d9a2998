// That an authorizer says what its rules say one by one: for tests that make up files and requests.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "auth/authorizer.h"
#include "auth/testing/rule_by_rule.h"
#include "base/check.h"

namespace mokv::auth {

class Agreement {
 public:
  // None when the files are refused.
  static std::optional<Agreement> Create(const std::string& model_text,
                                         const std::string& policy_text) {
    auto authorizer = Authorizer::Create(model_text, "model", policy_text, "policy");
    if (!authorizer.ok()) return std::nullopt;
    absl::StatusOr<Model> model = ParseModel(model_text, "model");
    MOKV_CHECK(model.ok());
    absl::StatusOr<Policy> policy = ParsePolicy(policy_text, "policy", *model);
    MOKV_CHECK(policy.ok());
    return Agreement(*std::move(authorizer), *std::move(model), *std::move(policy));
  }

  // Dies when there is none.
  void Check(std::string_view subject, std::string_view object, std::string_view action) const {
    const bool allowed = authorizer_->Allows(subject, object, action);
    MOKV_CHECK_EQ(authorizer_->Decide(subject, object, action).allowed, allowed);
    const Truth said =
        AllowedWithin(authorizer_->Ranges(subject, action), object, std::string(object) + '\0');
    if (said != Truth::kUnknown) MOKV_CHECK_EQ(said == Truth::kTrue, allowed);
    if (!reference_->HasRules()) return;
    std::vector<std::string_view> request;
    for (const std::string& field : fields_) {
      request.push_back(field == "sub" ? subject : field == "obj" ? object : action);
    }
    const bool expected = IsAllowed(effect_, reference_->Find(request));
    MOKV_CHECK_EQ(allowed, expected);
  }

  const std::vector<Rule>& rules() const { return rules_; }

 private:
  Agreement(std::shared_ptr<const Authorizer> authorizer, Model model, Policy policy)
      : authorizer_(std::move(authorizer)),
        fields_(model.request_fields),
        effect_(model.effect),
        rules_(policy.rules),
        reference_(std::make_unique<RuleByRule>(std::move(model), std::move(policy))) {}

  std::shared_ptr<const Authorizer> authorizer_;
  std::vector<std::string> fields_;
  Effect effect_;
  std::vector<Rule> rules_;
  std::unique_ptr<const RuleByRule> reference_;
};

}  // namespace mokv::auth
