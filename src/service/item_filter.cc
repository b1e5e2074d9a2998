#include "service/item_filter.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace mokv::service {
namespace {

using auth::ObjectRange;
using auth::Truth;

bool EndsAtOrBefore(const ObjectRange& range, std::string_view key) {
  return range.end.has_value() && *range.end <= key;
}

// Whether something that `before` allows, or may allow, from `from` to the end of the keys with
// `prefix`, `now` does not, or may not: what has to be asked for one by one may be answered
// differently by either.
bool LosesSomething(const std::vector<ObjectRange>& before, const std::vector<ObjectRange>& now,
                    std::string_view from, std::string_view prefix) {
  const auto is_behind = [&](std::string_view key) {
    return key > prefix && !key.starts_with(prefix);
  };
  for (const ObjectRange& range : before) {
    if (range.allowed == Truth::kFalse || EndsAtOrBefore(range, from)) continue;
    const std::string_view begin = std::max<std::string_view>(range.begin, from);
    if (is_behind(begin)) break;
    for (size_t i = auth::RangeAt(now, begin); i < now.size(); ++i) {
      if (range.end.has_value() && now[i].begin >= *range.end) break;
      if (is_behind(now[i].begin)) break;
      if (now[i].allowed != Truth::kTrue) return true;
    }
  }
  return false;
}

}  // namespace

ItemFilter::ItemFilter(const auth::Access& access, std::string subject, std::string prefix,
                       bool object_is_any)
    : access_(access),
      subject_(std::move(subject)),
      prefix_(std::move(prefix)),
      object_is_any_(object_is_any),
      rules_(access.rules()),
      ranges_(RangesOf(*rules_)) {}

std::vector<ObjectRange> ItemFilter::RangesOf(const auth::Authorizer& rules) const {
  if (!object_is_any_) return rules.Ranges(subject_, auth::kConsume);
  const bool all = rules.Allows(subject_, "*", auth::kConsume);
  return {{.begin = "", .end = std::nullopt, .allowed = all ? Truth::kTrue : Truth::kFalse}};
}

bool ItemFilter::MightShowAny() const { return auth::MightAllowSome(ranges_); }

ItemFilter::Answer ItemFilter::Ask(std::string_view key) {
  while (EndsAtOrBefore(ranges_[at_], key)) ++at_;
  const ObjectRange& range = ranges_[at_];
  if (range.allowed == Truth::kTrue) return {.allowed = true, .next = std::nullopt};
  if (range.allowed == Truth::kFalse) return {.allowed = false, .next = range.end};
  return {.allowed = rules_->Allows(subject_, key, auth::kConsume), .next = std::string_view()};
}

absl::Status ItemFilter::Renew(std::string_view from) {
  if (access_.IsInForce(*rules_)) return absl::OkStatus();
  rules_ = access_.rules();
  const std::vector<ObjectRange> before = std::exchange(ranges_, RangesOf(*rules_));
  from = std::max<std::string_view>(from, prefix_);
  at_ = auth::RangeAt(ranges_, from);
  if (!LosesSomething(before, ranges_, from, prefix_)) return absl::OkStatus();
  return MakeStatus(absl::StatusCode::kPermissionDenied,
                    "{} not permitted to {} all of this any more: the access rules have changed",
                    subject_, auth::kConsume);
}

}  // namespace mokv::service
