#include "auth/policy.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

#include "auth/csv.h"
#include "base/status.h"
#include "base/utf8.h"

namespace mokv::auth {
namespace {

constexpr std::string_view kEffectField = "eft";
constexpr std::string_view kPriorityField = "priority";
// For node-casbin these are doubles: up to here, each whole number is another one.
constexpr int64_t kPriorityMax = (int64_t{1} << 53) - 1;

std::string KindsOf(const Model& model) {
  std::string kinds = "p";
  for (const auto& [kind, fields] : model.roles) kinds += ", " + kind;
  return kinds;
}

// What a line of this kind looks like.
std::string FormOf(const Model& model, const std::string& kind) {
  std::string form = kind;
  if (kind == "p") {
    for (const std::string& field : model.policy_fields) form += ", " + field;
  } else {
    form += model.roles.at(kind) == 2 ? ", member, role" : ", member, role, domain";
  }
  return form;
}

absl::Status CheckFields(const CsvLine& line, std::string_view name, const Model& model) {
  const std::string& kind = line.fields[0];
  const auto role = model.roles.find(kind);
  if (kind != "p" && role == model.roles.end()) {
    return InvalidArgument("{}:{}: unknown kind of line {}; by the model there are {}", name,
                           line.line, Quoted(kind), KindsOf(model));
  }
  const size_t expected =
      1 + (kind == "p" ? model.policy_fields.size() : static_cast<size_t>(role->second));
  if (line.fields.size() != expected) {
    return InvalidArgument("{}:{}: expected {} fields ({}), found {}", name, line.line, expected,
                           FormOf(model, kind), line.fields.size());
  }
  for (const std::string& field : line.fields) {
    if (!field.empty()) continue;
    return InvalidArgument("{}:{}: empty field; expected {}", name, line.line, FormOf(model, kind));
  }
  return absl::OkStatus();
}

absl::StatusOr<Rule> ToRule(CsvLine&& line, std::string_view name, const Model& model) {
  Rule rule{.line = line.line};
  rule.fields.assign(std::make_move_iterator(line.fields.begin() + 1),
                     std::make_move_iterator(line.fields.end()));
  const std::optional<size_t> effect = model.PolicyField(kEffectField);
  if (!effect.has_value()) return rule;
  const std::string& written = rule.fields[*effect];
  // Casbin passes over a rule with any other effect: a slip of the pen would take a denial away.
  if (written != "allow" && written != "deny") {
    return InvalidArgument("{}:{}: the field eft is {}; expected allow or deny", name, rule.line,
                           Quoted(written));
  }
  rule.denies = written == "deny";
  return rule;
}

absl::Status SortByPriority(size_t field, Policy& policy) {
  std::vector<std::pair<int64_t, Rule>> numbered;
  for (Rule& rule : policy.rules) {
    const std::string& text = rule.fields[field];
    int64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [after, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc() || after != end || number > kPriorityMax || number < -kPriorityMax) {
      return InvalidArgument(
          "{}:{}: the field priority is {}; expected a whole number, of {} at most, with or "
          "without a minus",
          policy.name, rule.line, Quoted(text), kPriorityMax);
    }
    numbered.emplace_back(number, std::move(rule));
  }
  std::stable_sort(numbered.begin(), numbered.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t i = 0; i < numbered.size(); ++i) policy.rules[i] = std::move(numbered[i].second);
  return absl::OkStatus();
}

using Member = std::pair<std::string, std::string>;  // Domain and name.

// How many roles stand above each member. Of two ways up, both must be as long: otherwise nobody could
// say which rules come first.
absl::StatusOr<absl::flat_hash_map<Member, int>> Levels(const Policy& policy) {
  absl::flat_hash_map<Member, std::vector<const RoleRule*>> members_of;
  absl::flat_hash_map<Member, int> roles_left;
  for (const RoleRule& rule : policy.roles) {
    if (rule.kind != "g") continue;
    members_of[{rule.domain, rule.role}].push_back(&rule);
    roles_left.try_emplace({rule.domain, rule.role}, 0);
    ++roles_left[{rule.domain, rule.member}];
  }
  absl::flat_hash_map<Member, int> levels;
  std::deque<Member> known;
  for (const auto& [member, left] : roles_left) {
    if (left > 0) continue;
    levels[member] = 0;
    known.push_back(member);
  }
  for (; !known.empty(); known.pop_front()) {
    const int level = levels[known.front()] + 1;
    for (const RoleRule* rule : members_of[known.front()]) {
      const Member member{rule->domain, rule->member};
      int& highest = levels.try_emplace(member, level).first->second;
      highest = std::max(highest, level);
      if (--roles_left[member] == 0) known.push_back(member);
    }
  }
  for (const RoleRule& rule : policy.roles) {
    if (rule.kind != "g" || roles_left[{rule.domain, rule.member}] == 0) continue;
    return InvalidArgument(
        "{}:{}: {} is above itself, or below a role that is; subjectPriority needs a tree of roles",
        policy.name, rule.line, Quoted(rule.member));
  }
  // Not before all levels are known: what is found first must not depend on the order in a table.
  for (const RoleRule& rule : policy.roles) {
    if (rule.kind != "g") continue;
    const int level = levels.at({rule.domain, rule.member});
    if (level == levels.at({rule.domain, rule.role}) + 1) continue;
    return InvalidArgument(
        "{}:{}: {} has roles on different levels; subjectPriority needs a tree of roles",
        policy.name, rule.line, Quoted(rule.member));
  }
  return levels;
}

absl::Status SortBySubject(const Model& model, Policy& policy) {
  MOKV_ASSIGN_OR_RETURN(const auto levels, Levels(policy));
  const size_t subject = *model.PolicyField("sub");
  const std::optional<size_t> domain = model.PolicyField("dom");
  const auto level_of = [&](const Rule& rule) {
    const auto found = levels.find(
        Member(domain.has_value() ? rule.fields[*domain] : std::string(), rule.fields[subject]));
    return found == levels.end() ? 0 : found->second;
  };
  std::stable_sort(policy.rules.begin(), policy.rules.end(),
                   [&](const Rule& a, const Rule& b) { return level_of(a) > level_of(b); });
  return absl::OkStatus();
}

// Whether a field comes out of a file as it is if it stands there without quotes.
bool StandsBare(const std::string& field) {
  const absl::StatusOr<std::vector<CsvLine>> lines = ParseCsv("p," + field, "");
  return lines.ok() && *lines == std::vector<CsvLine>{{1, {"p", field}}};
}

}  // namespace

absl::StatusOr<Policy> ParsePolicy(std::string_view text, std::string_view name,
                                   const Model& model) {
  MOKV_ASSIGN_OR_RETURN(std::vector<CsvLine> lines, ParseCsv(text, name));
  Policy policy{.name = std::string(name)};
  for (CsvLine& line : lines) {
    MOKV_RETURN_IF_ERROR(CheckFields(line, name, model));
    if (line.fields[0] == "p") {
      MOKV_ASSIGN_OR_RETURN(Rule rule, ToRule(std::move(line), name, model));
      policy.rules.push_back(std::move(rule));
      continue;
    }
    std::vector<std::string>& fields = line.fields;
    policy.roles.push_back({line.line, std::move(fields[0]), std::move(fields[1]),
                            std::move(fields[2]), fields.size() == 4 ? fields[3] : ""});
  }
  const std::optional<size_t> priority = model.PolicyField(kPriorityField);
  if (priority.has_value()) MOKV_RETURN_IF_ERROR(SortByPriority(*priority, policy));
  if (model.effect == Effect::kSubjectPriority) {
    MOKV_RETURN_IF_ERROR(SortBySubject(model, policy));
  }
  return policy;
}

std::string RuleText(const Rule& rule) {
  std::string text = "p";
  for (const std::string& field : rule.fields) {
    text += ", ";
    if (StandsBare(field)) {
      text += field;
      continue;
    }
    text += '"';
    for (const char c : field) text.append(c == '"' ? 2 : 1, c);
    text += '"';
  }
  return text;
}

}  // namespace mokv::auth
