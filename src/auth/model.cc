#include "auth/model.h"

#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "auth/text.h"
#include "base/status.h"

namespace mokv::auth {
namespace {

// One line `key = value` of a model that we know. Only the matchers leave a choice.
struct Definition {
  std::string_view section;
  std::string_view key;
  std::string_view value;
};

constexpr std::array<Definition, 3> kFixed = {{
    {"request_definition", "r", "sub, obj, act"},
    {"policy_definition", "p", "sub, obj, act"},
    {"policy_effect", "e", "some(where (p.eft == allow))"},
}};
constexpr std::string_view kMatchers = "matchers";
constexpr std::string_view kMatchersKey = "m";
constexpr std::string_view kMatcherExact = "r.sub == p.sub && r.obj == p.obj && r.act == p.act";
constexpr std::string_view kMatcherKeyMatch =
    "r.sub == p.sub && keyMatch(r.obj, p.obj) && r.act == p.act";

// Classes of characters: white space between two of one class must stay, or they would read as one
// word.
int ClassOf(char c) {
  if (c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
    return 1;
  }
  return c == '=' || c == '&' ? 2 : 0;
}

// `expression` without white space that means nothing.
std::string Normalized(std::string_view expression) {
  std::string result;
  bool space = false;
  for (const char c : expression) {
    if (kWhiteSpace.find(c) != std::string_view::npos) {
      space = true;
      continue;
    }
    if (space && !result.empty() && ClassOf(c) != 0 && ClassOf(c) == ClassOf(result.back())) {
      result += ' ';
    }
    result += c;
    space = false;
  }
  return result;
}

bool Same(std::string_view expression, std::string_view known) {
  return Normalized(expression) == Normalized(known);
}

std::string_view WithoutComment(std::string_view line) {
  return Trim(line.substr(0, line.find('#')));
}

// A line as it was found.
struct Found {
  std::string value;
  int line = 0;
};

using Sections = std::map<std::string, std::map<std::string, Found>, std::less<>>;

bool IsKnown(std::string_view section, std::string_view key) {
  for (const Definition& fixed : kFixed) {
    if (fixed.section == section && (key.empty() || fixed.key == key)) return true;
  }
  return section == kMatchers && (key.empty() || key == kMatchersKey);
}

// Sections and their lines. Only sections and keys that a supported model has are allowed.
absl::StatusOr<Sections> ReadSections(std::string_view text, std::string_view name) {
  Sections sections;
  std::string section;
  Lines lines(text);
  while (const auto whole = lines.Next()) {
    const std::string_view line = WithoutComment(*whole);
    const int number = lines.number();
    if (line.empty() || line.starts_with(';')) continue;
    if (line.starts_with('[')) {
      if (!line.ends_with(']')) {
        return InvalidArgument("{}:{}: a section without its closing bracket", name, number);
      }
      section = Trim(line.substr(1, line.size() - 2));
      if (!IsKnown(section, "")) {
        return FailedPrecondition(
            "{}:{}: section [{}] is not supported; supported are [request_definition], "
            "[policy_definition], [policy_effect], [matchers]",
            name, number, section);
      }
      continue;
    }
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) {
      return InvalidArgument("{}:{}: expected [section] or key = value", name, number);
    }
    if (section.empty()) {
      return InvalidArgument("{}:{}: a line before the first section", name, number);
    }
    const std::string key(Trim(line.substr(0, equals)));
    if (key.empty()) return InvalidArgument("{}:{}: a line without a key", name, number);
    if (!IsKnown(section, key)) {
      return FailedPrecondition("{}:{}: [{}] {}: this key is not supported", name, number, section,
                                key);
    }
    Found found{std::string(Trim(line.substr(equals + 1))), number};
    if (!sections[section].emplace(key, std::move(found)).second) {
      return InvalidArgument("{}:{}: [{}] {} is there twice", name, number, section, key);
    }
  }
  return sections;
}

absl::StatusOr<Found> Take(const Sections& sections, std::string_view section, std::string_view key,
                           std::string_view name) {
  const auto found = sections.find(section);
  if (found == sections.end()) {
    return InvalidArgument("{}: section [{}] is missing or empty", name, section);
  }
  // A section that is there has a line, and this is the only key that it may have.
  return found->second.at(std::string(key));
}

}  // namespace

absl::StatusOr<ObjectMatch> ParseModel(std::string_view text, std::string_view name) {
  MOKV_ASSIGN_OR_RETURN(const Sections sections, ReadSections(text, name));
  for (const Definition& fixed : kFixed) {
    MOKV_ASSIGN_OR_RETURN(const Found found, Take(sections, fixed.section, fixed.key, name));
    if (!Same(found.value, fixed.value)) {
      return FailedPrecondition("{}:{}: [{}] {} = {} is not supported; supported is: {}", name,
                                found.line, fixed.section, fixed.key, found.value, fixed.value);
    }
  }
  MOKV_ASSIGN_OR_RETURN(const Found matcher, Take(sections, kMatchers, kMatchersKey, name));
  if (Same(matcher.value, kMatcherExact)) return ObjectMatch::kExact;
  if (Same(matcher.value, kMatcherKeyMatch)) return ObjectMatch::kKeyMatch;
  return FailedPrecondition("{}:{}: [{}] {} = {} is not supported; supported are: {}; and: {}",
                            name, matcher.line, kMatchers, kMatchersKey, matcher.value,
                            kMatcherExact, kMatcherKeyMatch);
}

}  // namespace mokv::auth
