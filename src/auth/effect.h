// Effect: what the rules that match come to. Pure functions.
//
// All effects that Casbin knows can be told from two rules: the first that matches and allows, and the
// first that matches and denies.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace mokv::auth {

enum class Effect {
  kAllowOverride,    // some(where (p.eft == allow)): some rule allows.
  kDenyOverride,     // !some(where (p.eft == deny)): no rule denies; what no rule names is allowed.
  kAllowAndDeny,     // Both.
  kPriority,         // priority(p.eft) || deny: the first rule that matches decides.
  kSubjectPriority,  // subjectPriority(p.eft) || deny: the same, with the rules of a member before
                     // those of his roles.
};

// All of them as text, for messages.
extern const std::string_view kEffectTexts;

// White space means nothing.
std::optional<Effect> ParseEffect(std::string_view text);

// The first rules that match. A rule's rank is its number, from 0, in the order in which rules are asked.
struct Firsts {
  static constexpr uint32_t kNone = UINT32_MAX;

  uint32_t allow = kNone;
  uint32_t deny = kNone;

  void Merge(const Firsts& other) {
    if (other.allow < allow) allow = other.allow;
    if (other.deny < deny) deny = other.deny;
  }
  void Add(uint32_t rank, bool denies) {
    uint32_t& first = denies ? deny : allow;
    if (rank < first) first = rank;
  }
  bool operator==(const Firsts&) const = default;
};

bool IsAllowed(Effect effect, const Firsts& firsts);

// The rank of the rule that decided; Firsts::kNone when none did.
uint32_t Decider(Effect effect, const Firsts& firsts);

}  // namespace mokv::auth
