#include "auth/ranges.h"

#include <algorithm>
#include <set>
#include <utility>

#include "auth/condition.h"
#include "auth/effect.h"
#include "base/check.h"

namespace mokv::auth {
namespace {

using Bound = std::optional<std::string>;

// Where the objects that begin with `prefix` end.
Bound EndOfPrefix(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (end.empty()) return std::nullopt;
  end.back() = static_cast<char>(static_cast<uint8_t>(end.back()) + 1);
  return end;
}

bool EndsBefore(const Bound& a, const Bound& b) {
  return a.has_value() && (!b.has_value() || *a < *b);
}

// Where a rule matches, for certain or perhaps.
struct Reach {
  std::string begin;
  Bound end;
  bool certain = true;
  uint32_t rank = 0;
  bool denies = false;

  bool IsEmpty() const { return end.has_value() && begin >= *end; }
  void Intersect(std::string low, const Bound& high) {
    if (low > begin) begin = std::move(low);
    if (EndsBefore(high, end)) end = high;
  }
};

// Narrows `reach` to what a term says about the object. False when it says nothing that is a range.
bool Narrow(const Condition& term, size_t object_field, Reach& reach) {
  if (term.kind != Condition::Kind::kEqual && term.kind != Condition::Kind::kKeyMatch) return false;
  const Condition* field = &term.children[0];
  const Condition* constant = &term.children[1];
  const bool equal = term.kind == Condition::Kind::kEqual;
  if (equal && field->IsConstant()) std::swap(field, constant);
  if (field->kind != Condition::Kind::kField || field->index != object_field ||
      !constant->IsConstantText()) {
    return false;
  }
  const std::string& text = constant->text;
  const size_t star = equal ? std::string::npos : text.find('*');
  if (star == std::string::npos) {
    reach.Intersect(text, text + '\0');
  } else {
    const std::string prefix = text.substr(0, star);
    reach.Intersect(prefix, EndOfPrefix(prefix));
  }
  return true;
}

bool AsksOf(const Condition& condition, size_t field) {
  if (condition.kind == Condition::Kind::kField) return condition.index == field;
  return std::any_of(condition.children.begin(), condition.children.end(),
                     [field](const Condition& child) { return AsksOf(child, field); });
}

// None when the rule matches no object.
std::optional<Reach> ReachOf(const Program::Conjunction& conjunction, size_t object_field,
                             Question& question) {
  Reach reach{.rank = conjunction.rank, .denies = conjunction.denies};
  for (const Condition& term : conjunction.terms) {
    const Truth truth = Test(term, question);
    if (truth == Truth::kFalse) return std::nullopt;
    if (truth == Truth::kTrue || Narrow(term, object_field, reach)) continue;
    if (AsksOf(term, object_field)) {
      reach.certain = false;
    } else if (!conjunction.denies) {
      return std::nullopt;  // One cannot say, of no object: then a rule counts only if it denies.
    }
  }
  if (reach.IsEmpty()) return std::nullopt;
  return reach;
}

// The rules that reach the object at which a sweep from the first to the last has arrived.
class Sweep {
 public:
  void Enter(const Reach& reach) { SetOf(reach).insert(reach.rank); }
  void Leave(const Reach& reach) {
    std::multiset<uint32_t>& ranks = SetOf(reach);
    ranks.erase(ranks.find(reach.rank));
  }
  Truth Allowed(Effect effect) const {
    const uint32_t allow = First(certain_allow_);
    const uint32_t deny = First(certain_deny_);
    const Firsts worst{allow, std::min(deny, First(maybe_deny_))};
    const Firsts best{std::min(allow, First(maybe_allow_)), deny};
    if (IsAllowed(effect, worst)) return Truth::kTrue;
    return IsAllowed(effect, best) ? Truth::kUnknown : Truth::kFalse;
  }

 private:
  static uint32_t First(const std::multiset<uint32_t>& ranks) {
    return ranks.empty() ? Firsts::kNone : *ranks.begin();
  }
  std::multiset<uint32_t>& SetOf(const Reach& reach) {
    if (reach.denies) return reach.certain ? certain_deny_ : maybe_deny_;
    return reach.certain ? certain_allow_ : maybe_allow_;
  }

  std::multiset<uint32_t> certain_allow_;
  std::multiset<uint32_t> maybe_allow_;
  std::multiset<uint32_t> certain_deny_;
  std::multiset<uint32_t> maybe_deny_;
};

}  // namespace

std::vector<ObjectRange> RangesOf(const Program& program,
                                  std::span<const std::string_view> request) {
  const size_t object_field = program.object_field();
  Question question{.fields = request, .names = &program.names(), .unknown_field = object_field};
  std::vector<Reach> reaches;
  for (const Program::Conjunction* conjunction : program.Candidates(request)) {
    std::optional<Reach> reach = ReachOf(*conjunction, object_field, question);
    if (reach.has_value()) reaches.push_back(std::move(*reach));
    question.DropJoined();
  }
  std::vector<const Reach*> by_end;
  std::set<std::string_view> bounds = {""};
  for (const Reach& reach : reaches) {
    by_end.push_back(&reach);
    bounds.insert(reach.begin);
    if (reach.end.has_value()) bounds.insert(*reach.end);
  }
  std::vector<const Reach*> by_begin = by_end;
  std::sort(by_begin.begin(), by_begin.end(),
            [](const Reach* a, const Reach* b) { return a->begin < b->begin; });
  std::sort(by_end.begin(), by_end.end(),
            [](const Reach* a, const Reach* b) { return EndsBefore(a->end, b->end); });
  Sweep sweep;
  std::vector<ObjectRange> ranges;
  auto entering = by_begin.begin();
  auto leaving = by_end.begin();
  for (const std::string_view bound : bounds) {
    for (; entering != by_begin.end() && (*entering)->begin <= bound; ++entering) {
      sweep.Enter(**entering);
    }
    for (; leaving != by_end.end() && (*leaving)->end.has_value() && *(*leaving)->end <= bound;
         ++leaving) {
      sweep.Leave(**leaving);
    }
    const Truth allowed = sweep.Allowed(program.effect());
    if (!ranges.empty() && ranges.back().allowed == allowed) continue;
    if (!ranges.empty()) ranges.back().end = std::string(bound);
    ranges.push_back({.begin = std::string(bound), .allowed = allowed});
  }
  return ranges;
}

size_t RangeAt(std::span<const ObjectRange> ranges, std::string_view object) {
  const auto above = std::upper_bound(
      ranges.begin(), ranges.end(), object,
      [](std::string_view text, const ObjectRange& range) { return text < range.begin; });
  MOKV_CHECK(above != ranges.begin());  // The first one begins with the empty text.
  return static_cast<size_t>(above - ranges.begin()) - 1;
}

bool MightAllowSome(std::span<const ObjectRange> ranges) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [](const ObjectRange& range) { return range.allowed != Truth::kFalse; });
}

Truth AllowedWithin(std::span<const ObjectRange> ranges, std::string_view begin,
                    std::optional<std::string_view> end) {
  if (end.has_value() && *end <= begin) return Truth::kTrue;
  const size_t first = RangeAt(ranges, begin);
  // Neighbours differ, so all is the same only within one of them.
  const Bound& first_end = ranges[first].end;
  const bool within = !first_end.has_value() || (end.has_value() && *end <= *first_end);
  return within ? ranges[first].allowed : Truth::kUnknown;
}

}  // namespace mokv::auth
