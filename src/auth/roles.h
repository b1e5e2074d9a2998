// Roles: who inherits from whom, as one role definition (g, g2, ...) and its rules in a policy say.
//
// Everybody has himself as a role. Links are followed kRoleLinksMax steps, as Casbin does; each domain
// has its own links. Patterns in names mean nothing, which is Casbin's default.
//
// Threads: confined until Build, immutable after that.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "auth/names.h"

namespace mokv::auth {

class Roles {
 public:
  // Casbin's limit, as deep as anybody's roles should be.
  static constexpr int kRoleLinksMax = 10;
  // Who has which role is worked out beforehand: one number for each pair, of all role definitions of a
  // model. So many are 64 MiB, and three times that while they are worked out; ten thousand members with a
  // thousand roles each are ten million.
  static constexpr size_t kPairsMax = 16 << 20;

  // The domain of definitions without domains.
  static constexpr Names::Id kNoDomain = Names::kNone;

  void AddLink(Names::Id member, Names::Id role, Names::Id domain);

  // Works out who has which roles. False when there are more pairs than `pairs_left`, from which they are
  // taken.
  bool Build(size_t& pairs_left);

  // The roles of `member` in `domain`, himself among them, in order. Borrowed from this, and from `member`.
  std::span<const Names::Id> RolesOf(const Names::Id& member, Names::Id domain) const;

  static bool IsIn(std::span<const Names::Id> roles, Names::Id role) {
    return std::binary_search(roles.begin(), roles.end(), role);
  }

  bool Has(Names::Id member, Names::Id role, Names::Id domain) const;

 private:
  struct Range {
    size_t begin = 0;
    size_t size = 0;
  };

  static uint64_t Key(Names::Id member, Names::Id domain) {
    return uint64_t{domain} << 32 | member;
  }

  // Of (domain, member): whom he inherits from directly.
  absl::flat_hash_map<uint64_t, std::vector<Names::Id>> links_;
  absl::flat_hash_map<uint64_t, Range> ranges_;  // In roles_.
  std::vector<Names::Id> roles_;
};

}  // namespace mokv::auth
