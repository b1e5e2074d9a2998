// Access files and requests: the input is a model, a policy, a subject and an object with a zero
// byte after each of the first three. What the index of the authorizer says must be what going
// through the rules one by one says.
#include <cstdint>
#include <string>

#include "auth/authorizer.h"
#include "auth/model.h"
#include "auth/policy.h"
#include "auth/testing/key_match.h"
#include "base/check.h"

namespace mokv::auth {
namespace {

std::string TakeField(std::string_view& rest) {
  const std::string_view field = rest.substr(0, rest.find('\0'));
  rest.remove_prefix(std::min(rest.size(), field.size() + 1));
  return std::string(field);
}

bool RuleByRule(ObjectMatch match, const std::vector<Rule>& rules, std::string_view subject,
                std::string_view object, std::string_view action) {
  for (const Rule& rule : rules) {
    if (rule.subject != subject || rule.action != action) continue;
    if (match == ObjectMatch::kExact ? rule.object == object : KeyMatch(object, rule.object)) {
      return true;
    }
  }
  return false;
}

void Check(std::string_view input) {
  const std::string model = TakeField(input);
  const std::string policy = TakeField(input);
  const std::string subject = TakeField(input);
  const std::string object(input);

  const absl::StatusOr<ObjectMatch> match = ParseModel(model, "model");
  const absl::StatusOr<std::vector<Rule>> rules = ParsePolicy(policy, "policy");
  const auto authorizer = Authorizer::Create(model, "model", policy, "policy");
  if (!match.ok() || !rules.ok()) {
    MOKV_CHECK(!authorizer.ok());
    return;
  }
  if (!authorizer.ok()) return;  // It may know actions that it will not take.
  const auto agree = [&](std::string_view s, std::string_view o, std::string_view a) {
    MOKV_CHECK_EQ((*authorizer)->Allows(s, o, a), RuleByRule(*match, *rules, s, o, a));
  };
  for (const std::string_view action : {kConsume, kProduce, kAdmin}) {
    agree(subject, object, action);
    for (const Rule& rule : *rules) {
      agree(rule.subject, object, action);
      agree(rule.subject, rule.object, rule.action);
    }
  }
}

}  // namespace
}  // namespace mokv::auth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mokv::auth::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
