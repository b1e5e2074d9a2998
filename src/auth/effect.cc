#include "auth/effect.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "auth/text.h"

namespace mokv::auth {
namespace {

// Without white space: none of its words can be read as two.
constexpr std::array<std::pair<std::string_view, Effect>, 5> kEffects = {{
    {"some(where(p.eft==allow))", Effect::kAllowOverride},
    {"!some(where(p.eft==deny))", Effect::kDenyOverride},
    {"some(where(p.eft==allow))&&!some(where(p.eft==deny))", Effect::kAllowAndDeny},
    {"priority(p.eft)||deny", Effect::kPriority},
    {"subjectPriority(p.eft)||deny", Effect::kSubjectPriority},
}};

bool IsWordPart(char c) {
  return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// White space between two letters, or within an operator, would make one of two.
std::string WithoutSpace(std::string_view text) {
  std::string result;
  bool space = false;
  for (const char c : text) {
    if (kWhiteSpace.find(c) != std::string_view::npos) {
      space = true;
      continue;
    }
    if (space && !result.empty()) {
      const char before = result.back();
      const bool same_operator = before == c && (c == '=' || c == '&' || c == '|');
      if ((IsWordPart(before) && IsWordPart(c)) || same_operator) result += ' ';
    }
    result += c;
    space = false;
  }
  return result;
}

}  // namespace

const std::string_view kEffectTexts =
    "some(where (p.eft == allow)); !some(where (p.eft == deny)); some(where (p.eft == allow)) && "
    "!some(where (p.eft == deny)); priority(p.eft) || deny; subjectPriority(p.eft) || deny";

std::optional<Effect> ParseEffect(std::string_view text) {
  std::string compact = WithoutSpace(text);
  // Casbin's own form of the field's name, which some models have.
  constexpr std::string_view kInner = "p_eft";
  for (size_t at = compact.find(kInner); at != std::string::npos; at = compact.find(kInner, at)) {
    compact[at + 1] = '.';
  }
  for (const auto& [known, effect] : kEffects) {
    if (known == compact) return effect;
  }
  return std::nullopt;
}

bool IsAllowed(Effect effect, const Firsts& firsts) {
  switch (effect) {
    case Effect::kAllowOverride:
      return firsts.allow != Firsts::kNone;
    case Effect::kDenyOverride:
      return firsts.deny == Firsts::kNone;
    case Effect::kAllowAndDeny:
      return firsts.allow != Firsts::kNone && firsts.deny == Firsts::kNone;
    case Effect::kPriority:
    case Effect::kSubjectPriority:
      break;
  }
  return firsts.allow < firsts.deny;
}

uint32_t Decider(Effect effect, const Firsts& firsts) {
  switch (effect) {
    case Effect::kAllowOverride:
      return firsts.allow;
    case Effect::kDenyOverride:
      return firsts.deny;
    case Effect::kAllowAndDeny:
      return firsts.deny != Firsts::kNone ? firsts.deny : firsts.allow;
    case Effect::kPriority:
    case Effect::kSubjectPriority:
      break;
  }
  return std::min(firsts.allow, firsts.deny);
}

}  // namespace mokv::auth
