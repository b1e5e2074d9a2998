#include "auth/roles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "auth/names.h"

namespace mokv::auth {
namespace {

using ::testing::UnorderedElementsAre;

std::vector<Names::Id> Of(const Roles& roles, Names::Id member,
                          Names::Id domain = Roles::kNoDomain) {
  const auto span = roles.RolesOf(member, domain);
  return {span.begin(), span.end()};
}

bool Build(Roles& roles) {
  size_t pairs_left = Roles::kPairsMax;
  return roles.Build(pairs_left);
}

TEST(Roles, FollowsLinks) {
  Roles roles;
  roles.AddLink(1, 2, Roles::kNoDomain);
  roles.AddLink(2, 3, Roles::kNoDomain);
  roles.AddLink(1, 4, Roles::kNoDomain);
  roles.AddLink(1, 4, Roles::kNoDomain);
  ASSERT_TRUE(Build(roles));
  EXPECT_THAT(Of(roles, 1), UnorderedElementsAre(1, 2, 3, 4));
  EXPECT_THAT(Of(roles, 2), UnorderedElementsAre(2, 3));
  EXPECT_THAT(Of(roles, 3), UnorderedElementsAre(3));
  EXPECT_THAT(Of(roles, 99), UnorderedElementsAre(99));
  EXPECT_TRUE(roles.Has(1, 3, Roles::kNoDomain));
  EXPECT_FALSE(roles.Has(3, 1, Roles::kNoDomain));
}

TEST(Roles, KeepsDomainsApart) {
  Roles roles;
  roles.AddLink(1, 2, 10);
  roles.AddLink(2, 3, 11);
  ASSERT_TRUE(Build(roles));
  EXPECT_TRUE(roles.Has(1, 2, 10));
  EXPECT_FALSE(roles.Has(1, 2, 11));
  EXPECT_FALSE(roles.Has(1, 3, 10));
  EXPECT_FALSE(roles.Has(1, 2, Roles::kNoDomain));
  EXPECT_TRUE(roles.Has(1, 1, 12));
}

TEST(Roles, StandsCircles) {
  Roles roles;
  roles.AddLink(1, 2, Roles::kNoDomain);
  roles.AddLink(2, 1, Roles::kNoDomain);
  roles.AddLink(3, 3, Roles::kNoDomain);
  ASSERT_TRUE(Build(roles));
  EXPECT_THAT(Of(roles, 1), UnorderedElementsAre(1, 2));
  EXPECT_THAT(Of(roles, 3), UnorderedElementsAre(3));
}

TEST(Roles, FollowsTenLinksAndNoMore) {
  Roles roles;
  for (Names::Id i = 0; i < 20; ++i) roles.AddLink(i, i + 1, Roles::kNoDomain);
  ASSERT_TRUE(Build(roles));
  EXPECT_TRUE(roles.Has(0, 10, Roles::kNoDomain));
  EXPECT_FALSE(roles.Has(0, 11, Roles::kNoDomain));
}

TEST(Roles, TakesItsPairsFromTheBoundOfAll) {
  size_t pairs_left = 5;
  Roles first;
  first.AddLink(1, 2, Roles::kNoDomain);
  first.AddLink(2, 3, Roles::kNoDomain);
  ASSERT_TRUE(first.Build(pairs_left));
  EXPECT_EQ(pairs_left, 0U);  // 1 has 1, 2 and 3; 2 has 2 and 3.
  Roles second;
  second.AddLink(1, 2, Roles::kNoDomain);
  EXPECT_FALSE(second.Build(pairs_left));
}

}  // namespace
}  // namespace mokv::auth
