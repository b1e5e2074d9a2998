// What a program must agree with: every rule of a policy asked, one by one and as a whole. Conditions are
// made by the same compiler and evaluated by the same functions, so what these do wrong is wrong in both;
// their own tests and tests/casbin_compare are for that.
//
// Threads: immutable.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "auth/compiler.h"
#include "auth/condition.h"
#include "auth/effect.h"
#include "auth/model.h"
#include "auth/policy.h"
#include "auth/roles.h"
#include "base/check.h"

namespace mokv::auth {

class RuleByRule {
 public:
  // Of a model and a policy for which Program::Create gave no error.
  RuleByRule(Model model, Policy policy) : model_(std::move(model)), policy_(std::move(policy)) {
    for (const auto& [kind, fields] : model_.roles) roles_[kind];
    for (const RoleRule& rule : policy_.roles) {
      const bool with_domain = model_.roles.at(rule.kind) == 3;
      roles_[rule.kind].AddLink(names_.Add(rule.member), names_.Add(rule.role),
                                with_domain ? names_.Add(rule.domain) : Roles::kNoDomain);
    }
    size_t pairs_left = Roles::kPairsMax;
    for (auto& [kind, roles] : roles_) MOKV_CHECK(roles.Build(pairs_left));
    Compiler compiler(model_, roles_, names_);
    ExpressionError error;
    for (const Rule& rule : policy_.rules) {
      MOKV_CHECK(compiler.Compile(&rule, conditions_.emplace_back(), error));
    }
  }

  // With rules, for a matcher that asks something of them.
  Firsts Find(std::span<const std::string_view> request) const {
    Question question{.fields = request, .names = &names_};
    Firsts firsts;
    for (size_t i = 0; i < conditions_.size(); ++i) {
      const Truth truth = Test(conditions_[i], question);
      const bool denies = policy_.rules[i].denies;
      if (truth == Truth::kTrue || (truth == Truth::kUnknown && denies)) {
        firsts.Add(static_cast<uint32_t>(i), denies);
      }
      question.DropJoined();
    }
    return firsts;
  }

  bool HasRules() const { return !policy_.rules.empty(); }

 private:
  const Model model_;
  const Policy policy_;
  Names names_;
  std::map<std::string, Roles> roles_;
  std::vector<Condition> conditions_;
};

}  // namespace mokv::auth
