// Expressions: the input is a matcher, a rule for eval() and a text, with a zero byte after each of the
// first two. The matcher is used alone and with what eval() gives; decisions must be those that the rules
// come to one by one.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "auth/testing/agreement.h"

namespace mokv::auth {
namespace {

std::string TakeField(std::string_view& rest) {
  const std::string_view field = rest.substr(0, rest.find('\0'));
  rest.remove_prefix(std::min(rest.size(), field.size() + 1));
  return std::string(field);
}

std::string Quoted(std::string_view field) {
  std::string result = "\"";
  for (const char c : field) result.append(c == '"' ? 2 : 1, c);
  return result + '"';
}

void Check(std::string_view input) {
  const std::string matcher = TakeField(input);
  const std::string rule = TakeField(input);
  const std::string text(input);
  const std::string policy =
      fmt::format("p, 1, a*, b, {}, deny\np, a, b, {}, true, allow\ng, a, b\ng2, b, a, b\n",
                  Quoted(rule), Quoted(text));
  for (const std::string_view effect :
       {"some(where (p.eft == allow)) && !some(where (p.eft == deny))",
        "priority(p.eft) || deny"}) {
    const std::string model = fmt::format(
        "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act, rule, "
        "eft\n"
        "[role_definition]\ng = _, _\ng2 = _, _, _\n[policy_effect]\ne = {}\n[matchers]\nm = {}\n",
        effect, matcher);
    const std::optional<Agreement> agreement = Agreement::Create(model, policy);
    if (!agreement.has_value()) return;
    agreement->Check("a", text, "b");
    agreement->Check(text, "b", "1");
    agreement->Check("1", "a", text);
  }
}

}  // namespace
}  // namespace mokv::auth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mokv::auth::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
