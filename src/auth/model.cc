#include "auth/model.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "auth/ini.h"
#include "auth/text.h"
#include "base/status.h"
#include "base/utf8.h"

namespace mokv::auth {
namespace {

struct KnownSection {
  std::string_view name;
  char key = 0;
  bool required = true;
};

constexpr std::array<KnownSection, 5> kSections = {{
    {"request_definition", 'r'},
    {"policy_definition", 'p'},
    {"role_definition", 'g', false},
    {"policy_effect", 'e'},
    {"matchers", 'm'},
}};
constexpr std::string_view kRoleSection = "role_definition";

bool IsNameStart(char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool IsName(std::string_view text) {
  return !text.empty() && IsNameStart(text[0]) && std::all_of(text.begin(), text.end(), [](char c) {
    return IsNameStart(c) || (c >= '0' && c <= '9');
  });
}

// g, g2, g3, ...: without a number, or with one from 2 on.
bool IsRoleKey(std::string_view key) {
  if (!key.starts_with('g')) return false;
  const std::string_view number = key.substr(1);
  return number.empty() || (number.find_first_not_of("0123456789") == std::string_view::npos &&
                            number[0] != '0' && number != "1" && number.size() <= 3);
}

// Empty for g.
std::string RoleKeyBefore(std::string_view key) {
  int number = 1;
  std::from_chars(key.data() + 1, key.data() + key.size(), number);
  if (number == 1) return "";
  return number == 2 ? "g" : fmt::format("g{}", number - 1);
}

std::string Place(std::string_view name, const Ini::Entry& entry, int line) {
  return fmt::format("{}:{}: [{}] {}", name, line, entry.section, entry.key);
}

std::vector<std::string_view> Split(std::string_view list) {
  std::vector<std::string_view> result;
  while (true) {
    const size_t comma = list.find(',');
    result.push_back(Trim(list.substr(0, comma)));
    if (comma == std::string_view::npos) return result;
    list.remove_prefix(comma + 1);
  }
}

absl::Status CheckSections(const Ini& ini, std::string_view name) {
  for (const Ini::Section& section : ini.sections) {
    const bool known = std::any_of(kSections.begin(), kSections.end(), [&](const auto& candidate) {
      return candidate.name == section.name;
    });
    if (known) continue;
    return InvalidArgument(
        "{}:{}: section [{}] is not supported; supported are [request_definition], "
        "[policy_definition], [role_definition], [policy_effect], [matchers]",
        name, section.line, section.name);
  }
  return absl::OkStatus();
}

absl::Status CheckKeys(const Ini& ini, std::string_view name) {
  for (const Ini::Entry& entry : ini.entries) {
    if (entry.section == kRoleSection) {
      if (IsRoleKey(entry.key)) continue;
      return InvalidArgument("{}: this key is not supported; role definitions are g, g2, g3, ...",
                             Place(name, entry, entry.line));
    }
    const auto section =
        std::find_if(kSections.begin(), kSections.end(),
                     [&](const auto& candidate) { return candidate.name == entry.section; });
    if (entry.key == std::string_view(&section->key, 1)) continue;
    return InvalidArgument(
        "{}: this key is not supported: no request would select it; the section's only key is {}",
        Place(name, entry, entry.line), section->key);
  }
  return absl::OkStatus();
}

absl::StatusOr<const Ini::Entry*> Take(const Ini& ini, std::string_view section,
                                       std::string_view name) {
  for (const Ini::Entry& entry : ini.entries) {
    if (entry.section == section) return &entry;
  }
  return InvalidArgument("{}: section [{}] is missing or empty", name, section);
}

absl::StatusOr<std::vector<std::string>> TakeFields(const Ini::Entry& entry,
                                                    std::string_view name) {
  std::vector<std::string> fields;
  int line = entry.line;
  for (const std::string_view field : Split(entry.value)) {
    // One that is empty is behind the comma of the one before.
    if (!field.empty()) line = entry.LineAt(static_cast<size_t>(field.data() - entry.value.data()));
    const std::string place = Place(name, entry, line);
    if (!IsName(field)) {
      return InvalidArgument("{}: {} is no name of a field", place, Quoted(field));
    }
    if (std::find(fields.begin(), fields.end(), field) != fields.end()) {
      return InvalidArgument("{}: field {} is there twice", place, field);
    }
    if (fields.size() == Model::kFieldsMax) {
      return InvalidArgument("{}: more than {} fields", place, Model::kFieldsMax);
    }
    fields.emplace_back(field);
  }
  return fields;
}

absl::Status TakeRoles(const Ini& ini, std::string_view name, Model& model) {
  for (const Ini::Entry& entry : ini.entries) {
    if (entry.section != kRoleSection) continue;
    const std::vector<std::string_view> fields = Split(entry.value);
    const bool blank = std::all_of(fields.begin(), fields.end(),
                                   [](std::string_view field) { return field == "_"; });
    if (!blank || fields.size() < 2 || fields.size() > 3) {
      return InvalidArgument(
          "{}: expected _, _ (member, role) or _, _, _ (with a domain), found {}",
          Place(name, entry, entry.line), Quoted(entry.value));
    }
    model.roles[entry.key] = static_cast<int>(fields.size());
  }
  for (const Ini::Entry& entry : ini.entries) {
    if (entry.section != kRoleSection) continue;
    const std::string before = RoleKeyBefore(entry.key);
    if (before.empty() || model.roles.contains(before)) continue;
    return InvalidArgument(
        "{}: without {}, Casbin does not see it: it reads g, g2, g3, ... up to the first that is "
        "missing; name them without a gap",
        Place(name, entry, entry.line), before);
  }
  return absl::OkStatus();
}

absl::Status TakeMatcher(const Ini& ini, std::string_view name, Model& model) {
  MOKV_ASSIGN_OR_RETURN(const Ini::Entry* entry, Take(ini, "matchers", name));
  model.matcher_source = *entry;
  ExpressionError error;
  if (ParseExpression(entry->value, model.matcher, error)) return absl::OkStatus();
  return InvalidArgument("{}: at byte {} of the expression: {}", model.MatcherPlace(error.position),
                         error.position + 1, error.reason);
}

// Casbin reads the lines of g with the numbers that the fields sub, obj and dom have in p: as member, role
// and domain. With other numbers its order of rules is another one than one would think, or none.
absl::Status CheckSubjectPriority(const std::string& place, const Model& model) {
  const auto roles = model.roles.find("g");
  if (roles == model.roles.end()) {
    return InvalidArgument(
        "{}: subjectPriority sorts rules by the roles of their subjects: it needs a role "
        "definition g",
        place);
  }
  const bool with_domain = roles->second == 3;
  const std::optional<size_t> domain = model.PolicyField("dom");
  if (model.PolicyField("sub") == 0 && model.PolicyField("obj") == 1 &&
      (with_domain ? domain == 2 : !domain.has_value())) {
    return absl::OkStatus();
  }
  return InvalidArgument(
      "{}: subjectPriority finds the parts of g's lines by the order of p's fields: with g = {}, p "
      "has to begin with {}",
      place, with_domain ? "_, _, _" : "_, _",
      with_domain ? "sub, obj, dom" : "sub, obj, and to be without dom");
}

std::optional<size_t> IndexOf(const std::vector<std::string>& fields, std::string_view field) {
  const auto found = std::find(fields.begin(), fields.end(), field);
  if (found == fields.end()) return std::nullopt;
  return static_cast<size_t>(found - fields.begin());
}

}  // namespace

std::optional<size_t> Model::RequestField(std::string_view field) const {
  return IndexOf(request_fields, field);
}

std::optional<size_t> Model::PolicyField(std::string_view field) const {
  return IndexOf(policy_fields, field);
}

std::string Model::MatcherPlace(size_t position) const {
  return Place(name, matcher_source, matcher_source.LineAt(position));
}

absl::StatusOr<Model> ParseModel(std::string_view text, std::string_view name) {
  MOKV_ASSIGN_OR_RETURN(const Ini ini, ParseIni(text, name));
  MOKV_RETURN_IF_ERROR(CheckSections(ini, name));
  MOKV_RETURN_IF_ERROR(CheckKeys(ini, name));
  Model model{.name = std::string(name)};
  MOKV_ASSIGN_OR_RETURN(const Ini::Entry* request, Take(ini, "request_definition", name));
  model.request_place = Place(name, *request, request->line);
  MOKV_ASSIGN_OR_RETURN(model.request_fields, TakeFields(*request, name));
  MOKV_ASSIGN_OR_RETURN(const Ini::Entry* policy, Take(ini, "policy_definition", name));
  MOKV_ASSIGN_OR_RETURN(model.policy_fields, TakeFields(*policy, name));
  MOKV_RETURN_IF_ERROR(TakeRoles(ini, name, model));
  MOKV_ASSIGN_OR_RETURN(const Ini::Entry* effect, Take(ini, "policy_effect", name));
  const std::optional<Effect> known = ParseEffect(effect->value);
  if (!known.has_value()) {
    return InvalidArgument("{} = {} is not supported; supported are: {}",
                           Place(name, *effect, effect->line), effect->value, kEffectTexts);
  }
  model.effect = *known;
  if (model.effect == Effect::kSubjectPriority) {
    MOKV_RETURN_IF_ERROR(CheckSubjectPriority(Place(name, *effect, effect->line), model));
  }
  MOKV_RETURN_IF_ERROR(TakeMatcher(ini, name, model));
  return model;
}

}  // namespace mokv::auth
