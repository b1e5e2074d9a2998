// Patterns: the input is a byte that says which kind, a pattern, a zero byte and a text. Whatever the two
// are, there is an answer, and soon; and expressions match what RE2 alone says that they match.
#include <re2/re2.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "auth/pattern.h"
#include "auth/regex_syntax.h"
#include "base/check.h"
#include "base/utf8.h"

namespace mokv::auth {
namespace {

void Check(std::string_view input) {
  constexpr int kKinds = 7;
  if (input.empty()) return;
  const auto kind = static_cast<PatternKind>(static_cast<uint8_t>(input.front()) % kKinds);
  input.remove_prefix(1);
  const std::string_view pattern = input.substr(0, input.find('\0'));
  const std::string_view text = input.substr(std::min(input.size(), pattern.size() + 1));
  std::string reason;
  const auto compiled = Pattern::Compile(kind, pattern, reason);
  if (compiled == nullptr) {
    MOKV_CHECK(!reason.empty());
    return;
  }
  const Truth first = compiled->Matches(text);
  MOKV_CHECK(first == compiled->Matches(text));
  MOKV_CHECK(first != Truth::kUnknown || kind == PatternKind::kIpMatch || !IsUtf8(text));
  if (kind == PatternKind::kRegexMatch && IsUtf8(text)) {
    const std::optional<RegexSyntax> syntax = ReadRegex(pattern, reason);
    MOKV_CHECK(syntax.has_value());
    re2::RE2::Options options;
    options.set_log_errors(false);
    const re2::RE2 regex(syntax->re2, options);
    const bool matches = re2::RE2::PartialMatch({text.data(), text.size()}, regex);
    MOKV_CHECK((first == Truth::kTrue) == matches);
  }
  MOKV_CHECK(KeyGet(text, pattern).size() <= text.size());
}

}  // namespace
}  // namespace mokv::auth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mokv::auth::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
