// casbin_decide: our engine's decisions, for a comparison with another engine's (README.md).
//
// Each line of standard input is a case: {"model": TEXT, "policy": TEXT, "requests": [[TEXT, ...], ...]}.
// Each line of standard output answers one: {"decisions": [true, ...]}, or {"error": TEXT} when the model
// or the policy was refused.
#include <fmt/format.h>

#include <iostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "auth/model.h"
#include "auth/policy.h"
#include "auth/program.h"
#include "base/status.h"

namespace mokv::auth {
namespace {

using nlohmann::json;

absl::StatusOr<std::unique_ptr<const Program>> Load(const json& line) {
  MOKV_ASSIGN_OR_RETURN(Model model, ParseModel(line["model"].get<std::string>(), "model"));
  MOKV_ASSIGN_OR_RETURN(Policy policy,
                        ParsePolicy(line["policy"].get<std::string>(), "policy", model));
  return Program::Create(std::move(model), std::move(policy));
}

absl::StatusOr<json> Decide(const json& line) {
  MOKV_ASSIGN_OR_RETURN(const std::unique_ptr<const Program> program, Load(line));
  json decisions = json::array();
  for (const json& texts : line["requests"]) {
    const auto fields = texts.get<std::vector<std::string>>();
    const std::vector<std::string_view> request(fields.begin(), fields.end());
    if (request.size() != program->model().request_fields.size()) {
      return InvalidArgument("a request of {} fields", request.size());
    }
    decisions.push_back(IsAllowed(program->effect(), program->Find(request)));
  }
  return decisions;
}

}  // namespace
}  // namespace mokv::auth

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto decisions = mokv::auth::Decide(nlohmann::json::parse(line));
    nlohmann::json answer;
    if (decisions.ok()) {
      answer["decisions"] = *decisions;
    } else {
      answer["error"] = mokv::MessageOf(decisions.status());
    }
    std::cout << answer.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) << "\n";
  }
  return 0;
}
