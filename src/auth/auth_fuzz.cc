// Access files and requests: the input is a model, a policy, a subject and an object with a zero
// byte after each of the first three. What the compiled program says must be what going through the
// rules one by one says.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "auth/authorizer.h"
#include "auth/testing/agreement.h"

namespace mokv::auth {
namespace {

std::string TakeField(std::string_view& rest) {
  const std::string_view field = rest.substr(0, rest.find('\0'));
  rest.remove_prefix(std::min(rest.size(), field.size() + 1));
  return std::string(field);
}

void Check(std::string_view input) {
  constexpr size_t kRulesMax = 64;  // Asked about; more would be slow, not different.
  const std::string model = TakeField(input);
  const std::string policy = TakeField(input);
  const std::string subject = TakeField(input);
  const std::string object(input);
  const std::optional<Agreement> agreement = Agreement::Create(model, policy);
  if (!agreement.has_value()) return;
  for (const std::string_view action : {kConsume, kProduce, kAdmin}) {
    agreement->Check(subject, object, action);
    agreement->Check(object, subject, action);
  }
  for (size_t i = 0; i < std::min(agreement->rules().size(), kRulesMax); ++i) {
    const std::vector<std::string>& fields = agreement->rules()[i].fields;
    agreement->Check(fields.front(), object, fields.back());
    if (fields.size() >= 3) agreement->Check(fields[0], fields[1], fields[2]);
  }
}

}  // namespace
}  // namespace mokv::auth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mokv::auth::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
