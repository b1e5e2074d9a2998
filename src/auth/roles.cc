#include "auth/roles.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>

#include "base/check.h"

namespace mokv::auth {

void Roles::AddLink(Names::Id member, Names::Id role, Names::Id domain) {
  MOKV_CHECK(ranges_.empty());
  links_[Key(member, domain)].push_back(role);
}

bool Roles::Build(size_t& pairs_left) {
  for (const auto& [key, direct] : links_) {
    const auto member = static_cast<Names::Id>(key);
    const auto domain = static_cast<Names::Id>(key >> 32);
    const size_t begin = roles_.size();
    absl::flat_hash_set<Names::Id> seen = {member};
    roles_.push_back(member);
    size_t level_begin = begin;
    for (int step = 0; step < kRoleLinksMax && level_begin < roles_.size(); ++step) {
      const size_t level_end = roles_.size();
      for (size_t i = level_begin; i < level_end; ++i) {
        const auto found = links_.find(Key(roles_[i], domain));
        if (found == links_.end()) continue;
        for (const Names::Id role : found->second) {
          if (seen.insert(role).second) roles_.push_back(role);
        }
      }
      level_begin = level_end;
      if (roles_.size() > pairs_left) return false;
    }
    std::sort(roles_.begin() + static_cast<ptrdiff_t>(begin), roles_.end());
    ranges_[key] = {begin, roles_.size() - begin};
  }
  roles_.shrink_to_fit();
  pairs_left -= roles_.size();
  return true;
}

std::span<const Names::Id> Roles::RolesOf(const Names::Id& member, Names::Id domain) const {
  const auto found = ranges_.find(Key(member, domain));
  if (found == ranges_.end()) return {&member, 1};
  return std::span(roles_).subspan(found->second.begin, found->second.size);
}

bool Roles::Has(Names::Id member, Names::Id role, Names::Id domain) const {
  return IsIn(RolesOf(member, domain), role);
}

}  // namespace mokv::auth
