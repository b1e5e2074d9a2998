#include "auth/object_table.h"

#include <algorithm>
#include <utility>

namespace mokv::auth {

void ObjectTable::AddExact(std::string_view object, uint32_t rank, bool denies) {
  exact_[object].Add(rank, denies);
}

void ObjectTable::AddPrefix(std::string_view prefix, uint32_t rank, bool denies) {
  Prefix& added = prefixes_.emplace_back(Prefix{.text = prefix});
  added.firsts.Add(rank, denies);
}

void ObjectTable::Seal() {
  std::sort(prefixes_.begin(), prefixes_.end(),
            [](const Prefix& a, const Prefix& b) { return a.text < b.text; });
  std::vector<Prefix> sorted;
  for (const Prefix& prefix : prefixes_) {
    if (!sorted.empty() && sorted.back().text == prefix.text) {
      sorted.back().firsts.Merge(prefix.firsts);
    } else {
      sorted.push_back(prefix);
    }
  }
  // In sorted order, what a prefix covers comes right after it: so the one before, or one that it begins
  // with, is the one to look for.
  for (uint32_t i = 1; i < sorted.size(); ++i) {
    uint32_t candidate = i - 1;
    while (candidate != kNone && !sorted[i].text.starts_with(sorted[candidate].text)) {
      candidate = sorted[candidate].shorter;
    }
    sorted[i].shorter = candidate;
    if (candidate != kNone) sorted[i].firsts.Merge(sorted[candidate].firsts);
  }
  prefixes_ = std::move(sorted);
}

Firsts ObjectTable::Find(std::string_view object) const {
  Firsts result;
  if (!exact_.empty()) {
    const auto found = exact_.find(object);
    if (found != exact_.end()) result = found->second;
  }
  const auto above = std::upper_bound(
      prefixes_.begin(), prefixes_.end(), object,
      [](std::string_view text, const Prefix& prefix) { return text < prefix.text; });
  if (above == prefixes_.begin()) return result;
  auto candidate = static_cast<uint32_t>(above - prefixes_.begin() - 1);
  while (candidate != kNone && !object.starts_with(prefixes_[candidate].text)) {
    candidate = prefixes_[candidate].shorter;
  }
  if (candidate != kNone) result.Merge(prefixes_[candidate].firsts);
  return result;
}

}  // namespace mokv::auth
