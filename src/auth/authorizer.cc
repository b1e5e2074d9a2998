#include "auth/authorizer.h"

#include <algorithm>
#include <utility>

#include "auth/model.h"
#include "auth/policy.h"
#include "base/status.h"

namespace mokv::auth {

void Authorizer::Objects::Tidy() {
  std::sort(prefixes.begin(), prefixes.end());
  // In sorted order, everything that a prefix covers comes right after it.
  std::vector<std::string> kept;
  for (std::string& prefix : prefixes) {
    if (kept.empty() || !prefix.starts_with(kept.back())) kept.push_back(std::move(prefix));
  }
  prefixes = std::move(kept);
}

bool Authorizer::Objects::Contains(std::string_view object) const {
  if (all || exact.contains(object)) return true;
  const auto above = std::upper_bound(prefixes.begin(), prefixes.end(), object);
  return above != prefixes.begin() && object.starts_with(*std::prev(above));
}

absl::StatusOr<std::shared_ptr<const Authorizer>> Authorizer::Create(
    const std::string& model_text, const std::string& model_name, const std::string& policy_text,
    const std::string& policy_name) {
  MOKV_ASSIGN_OR_RETURN(const ObjectMatch match, ParseModel(model_text, model_name));
  MOKV_ASSIGN_OR_RETURN(std::vector<Rule> rules, ParsePolicy(policy_text, policy_name));
  std::shared_ptr<Authorizer> authorizer(new Authorizer());
  for (Rule& rule : rules) {
    Objects& objects = authorizer->by_subject_and_action_[rule.subject][rule.action];
    const size_t star = rule.object.find('*');
    if (match == ObjectMatch::kExact || star == std::string::npos) {
      objects.exact.insert(std::move(rule.object));
    } else if (star == 0) {
      objects.all = true;
    } else {
      objects.prefixes.push_back(rule.object.substr(0, star));
    }
  }
  for (auto& [subject, actions] : authorizer->by_subject_and_action_) {
    for (auto& [action, objects] : actions) objects.Tidy();
  }
  return authorizer;
}

std::shared_ptr<const Authorizer> Authorizer::AllowAll() {
  std::shared_ptr<Authorizer> authorizer(new Authorizer());
  authorizer->allow_all_ = true;
  return authorizer;
}

const Authorizer::Objects* Authorizer::Find(std::string_view subject,
                                            std::string_view action) const {
  const auto actions = by_subject_and_action_.find(subject);
  if (actions == by_subject_and_action_.end()) return nullptr;
  const auto objects = actions->second.find(action);
  return objects == actions->second.end() ? nullptr : &objects->second;
}

bool Authorizer::Allows(std::string_view subject, std::string_view object,
                        std::string_view action) const {
  if (allow_all_) return true;
  const Objects* objects = Find(subject, action);
  return objects != nullptr && objects->Contains(object);
}

bool Authorizer::MightAllow(std::string_view subject, std::string_view action) const {
  // Every rule names at least one object.
  return allow_all_ || Find(subject, action) != nullptr;
}

absl::Status Authorizer::Check(std::string_view subject, std::string_view object,
                               std::string_view action) const {
  if (Allows(subject, object, action)) return absl::OkStatus();
  return MakeStatus(absl::StatusCode::kPermissionDenied, "{} not permitted to {} to {}", subject,
                    action, object);
}

}  // namespace mokv::auth
