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

// What spares RE2 its work finds no other matches.
void CheckRegex(PatternKind kind, std::string_view pattern, std::string_view text, bool matches) {
  if (kind == PatternKind::kIpMatch || kind == PatternKind::kGlobMatch) return;
  std::string reason;
  const std::optional<std::string> regex =
      kind == PatternKind::kRegexMatch ? std::string(pattern) : RegexOfPath(kind, pattern, reason);
  MOKV_CHECK(regex.has_value());
  const std::optional<RegexSyntax> syntax = ReadRegex(*regex, reason);
  MOKV_CHECK(syntax.has_value());
  re2::RE2::Options options;
  options.set_log_errors(false);
  const re2::RE2 plain(syntax->re2, options);
  if (!plain.ok())
    return;  // Too large for RE2, and what Casbin makes of it is simple enough for us.
  if (kind == PatternKind::kKeyMatch5) text = text.substr(0, text.find('?'));
  const bool expected = re2::RE2::PartialMatch({text.data(), text.size()}, plain);
  // The other way, names of keyMatch4 may differ.
  MOKV_CHECK(matches == expected || (kind == PatternKind::kKeyMatch4 && !matches));
}

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
  if (IsUtf8(text)) CheckRegex(kind, pattern, text, first == Truth::kTrue);
  MOKV_CHECK(KeyGet(text, pattern).size() <= text.size());
}

}  // namespace
}  // namespace mokv::auth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mokv::auth::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
