#include "auth/authorizer.h"

#include <algorithm>
#include <span>
#include <utility>

#include "auth/model.h"
#include "auth/policy.h"
#include "base/status.h"

namespace mokv::auth {
namespace {

constexpr std::array<std::string_view, 3> kFieldOfPart = {"sub", "obj", "act"};

}  // namespace

absl::StatusOr<std::shared_ptr<const Authorizer>> Authorizer::Create(
    const std::string& model_text, const std::string& model_name, const std::string& policy_text,
    const std::string& policy_name) {
  MOKV_ASSIGN_OR_RETURN(Model model, ParseModel(model_text, model_name));
  std::shared_ptr<Authorizer> authorizer(new Authorizer());
  for (size_t i = 0; i < model.request_fields.size(); ++i) {
    const auto part = std::find(kFieldOfPart.begin(), kFieldOfPart.end(), model.request_fields[i]);
    if (part == kFieldOfPart.end()) {
      return InvalidArgument(
          "{}: field {} is not supported: a request has sub (who asks), obj (the key) and act "
          "(what for); take it out of r, and where the matcher reads r.{}, have it say what is "
          "always so, such as a domain's name in quotes",
          model.request_place, model.request_fields[i], model.request_fields[i]);
    }
    // Fields differ, so there are no more of them than parts.
    authorizer->parts_[i] = static_cast<size_t>(part - kFieldOfPart.begin());
  }
  MOKV_ASSIGN_OR_RETURN(Policy policy, ParsePolicy(policy_text, policy_name, model));
  MOKV_ASSIGN_OR_RETURN(authorizer->program_, Program::Create(std::move(model), std::move(policy)));
  return authorizer;
}

std::shared_ptr<const Authorizer> Authorizer::AllowAll() {
  return std::shared_ptr<Authorizer>(new Authorizer());
}

template <typename Ask>
auto Authorizer::With(std::string_view subject, std::string_view object, std::string_view action,
                      const Ask& ask) const {
  const std::array<std::string_view, kParts> given = {subject, object, action};
  std::array<std::string_view, kParts> request;
  const size_t fields = program_->model().request_fields.size();
  for (size_t i = 0; i < fields; ++i) request[i] = given[parts_[i]];
  return ask(std::span<const std::string_view>(request.data(), fields));
}

bool Authorizer::Allows(std::string_view subject, std::string_view object,
                        std::string_view action) const {
  if (program_ == nullptr) return true;
  return With(subject, object, action, [this](std::span<const std::string_view> request) {
    return IsAllowed(program_->effect(), program_->Find(request));
  });
}

absl::Status NotPermitted(std::string_view subject, std::string_view object,
                          std::string_view action) {
  return MakeStatus(absl::StatusCode::kPermissionDenied, "{} not permitted to {} to {}", subject,
                    action, object);
}

Decision Authorizer::Decide(std::string_view subject, std::string_view object,
                            std::string_view action) const {
  if (program_ == nullptr) return {.allowed = true, .text = "there is no access model"};
  return With(subject, object, action, [this](std::span<const std::string_view> request) {
    const Firsts firsts = program_->Find(request);
    Decision decision{.allowed = IsAllowed(program_->effect(), firsts)};
    const uint32_t rank = Decider(program_->effect(), firsts);
    if (const Rule* rule = program_->RuleAt(rank); rule != nullptr) {
      decision.line = rule->line;
      decision.text = RuleText(*rule);
    } else if (rank != Firsts::kNone) {
      decision.text = "the model's matcher, without a rule";
    } else {
      decision.text = decision.allowed ? "no rule denies it" : "no rule allows it";
    }
    return decision;
  });
}

std::vector<ObjectRange> Authorizer::Ranges(std::string_view subject,
                                            std::string_view action) const {
  if (program_ == nullptr) return {{.allowed = Truth::kTrue}};
  return With(subject, "", action, [this](std::span<const std::string_view> request) {
    return RangesOf(*program_, request);
  });
}

}  // namespace mokv::auth
