#include "auth/model.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <string>

#include "auth/testing/key_match.h"
#include "base/status.h"

namespace mokv::auth {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::string_view kModel =
    "[request_definition]\n"                                             // Line 1.
    "r = sub, obj, act\n"                                                // 2
    "[policy_definition]\n"                                              // 3
    "p = sub, obj, act\n"                                                // 4
    "[policy_effect]\n"                                                  // 5
    "e = some(where (p.eft == allow))\n"                                 // 6
    "[matchers]\n"                                                       // 7
    "m = r.sub == p.sub && keyMatch(r.obj, p.obj) && r.act == p.act\n";  // 8

// kModel with its first `from` replaced.
std::string With(std::string_view from, std::string_view to) {
  std::string text(kModel);
  text.replace(text.find(from), from.size(), to);
  return text;
}

void ExpectRefused(const std::string& text, absl::StatusCode code, std::string_view start,
                   std::string_view part = "") {
  const absl::Status status = ParseModel(text, "m.conf").status();
  EXPECT_EQ(status.code(), code) << status;
  const std::string message(MessageOf(status));
  EXPECT_THAT(message, StartsWith(std::string(start)));
  EXPECT_THAT(message, HasSubstr(std::string(part)));
}

TEST(Model, KnowsBothMatchers) {
  EXPECT_EQ(*ParseModel(kModel, "m.conf"), ObjectMatch::kKeyMatch);
  EXPECT_EQ(*ParseModel(With("keyMatch(r.obj, p.obj)", "r.obj == p.obj"), "m.conf"),
            ObjectMatch::kExact);
}

TEST(Model, IgnoresCommentsAndWhiteSpace) {
  const std::string text =
      "# comment\r\n; comment\r\n\r\n  [ matchers ]  # here\r\n"
      "m=r.sub==p.sub&&keyMatch( r.obj,p.obj )&&r.act==p.act# and here\r\n"
      "[policy_effect]\ne = some( where(p.eft==allow) )\n"
      "\t[policy_definition]\n\tp = sub,obj,act\n[request_definition]\nr  =  sub , obj , act";
  EXPECT_EQ(*ParseModel(text, "m.conf"), ObjectMatch::kKeyMatch);
}

TEST(Model, RefusesWhatItDoesNotKnowAndSaysWhatItDoes) {
  constexpr auto kCode = absl::StatusCode::kFailedPrecondition;
  ExpectRefused(With("keyMatch(", "keyMatch2("), kCode, "m.conf:8: [matchers] m", "supported are");
  ExpectRefused(With("r.sub == p.sub &&", "r.sub == p.sub ||"), kCode, "m.conf:8:");
  ExpectRefused(With("r.sub == p.sub && ", ""), kCode, "m.conf:8:");
  ExpectRefused(With("r.act == p.act\n", "r.act == p.act || r.sub == \"root\"\n"), kCode,
                "m.conf:8:");
  ExpectRefused(With("r = sub, obj, act", "r = sub, dom, obj, act"), kCode,
                "m.conf:2: [request_definition] r", "supported is: sub, obj, act");
  ExpectRefused(With("p = sub, obj, act", "p = sub, obj, act, eft"), kCode, "m.conf:4:");
  ExpectRefused(With("some(where (p.eft == allow))", "!some(where (p.eft == deny))"), kCode,
                "m.conf:6: [policy_effect] e");
  ExpectRefused(With("[policy_effect]", "[role_definition]\ng = _, _\n[policy_effect]"), kCode,
                "m.conf:5: section [role_definition]", "supported are");
  ExpectRefused(With("[policy_definition]", "r2 = sub, obj, act\n[policy_definition]"), kCode,
                "m.conf:3: [request_definition] r2");
}

TEST(Model, DoesNotJoinWhatWhiteSpaceSeparates) {
  constexpr auto kCode = absl::StatusCode::kFailedPrecondition;
  ExpectRefused(With("allow", "al low"), kCode, "m.conf:6:");
  ExpectRefused(With("&&", "& &"), kCode, "m.conf:8:");
  ExpectRefused(With("==", "= ="), kCode, "m.conf:6:");
}

TEST(Model, RefusesWhatIsNoModel) {
  constexpr auto kCode = absl::StatusCode::kInvalidArgument;
  ExpectRefused("", kCode, "m.conf: section [request_definition] is missing");
  ExpectRefused("r = sub, obj, act\n", kCode, "m.conf:1: a line before");
  ExpectRefused(With("[matchers]", "[matchers"), kCode, "m.conf:7:");
  ExpectRefused(With("r = sub", "sub"), kCode, "m.conf:2:");
  ExpectRefused(With("r = sub", "= sub"), kCode, "m.conf:2:");
  ExpectRefused(With("p = sub", "p = sub, obj, act\np = sub"), kCode, "m.conf:5:", "twice");
  for (const std::string_view section : {"policy_definition", "policy_effect", "matchers"}) {
    const size_t start = kModel.find(section) - 1;
    std::string without(kModel);
    without.erase(start, kModel.find('\n', kModel.find('\n', start) + 1) + 1 - start);
    ExpectRefused(without, kCode, fmt::format("m.conf: section [{}] is missing", section));
  }
}

// Casbin's definition, step by step.
bool NaiveKeyMatch(const std::string& key, const std::string& pattern) {
  size_t star = 0;
  while (star < pattern.size() && pattern[star] != '*') ++star;
  if (star == pattern.size()) return key == pattern;
  if (key.size() > star) return key.substr(0, star) == pattern.substr(0, star);
  return key == pattern.substr(0, star);
}

TEST(KeyMatch, FollowsCasbin) {
  EXPECT_TRUE(KeyMatch("", "*"));
  EXPECT_TRUE(KeyMatch("anything", "*"));
  EXPECT_TRUE(KeyMatch("a/b", "a/*"));
  EXPECT_TRUE(KeyMatch("a/", "a/*"));
  EXPECT_FALSE(KeyMatch("a", "a/*"));
  EXPECT_FALSE(KeyMatch("b/a/", "a/*"));
  EXPECT_TRUE(KeyMatch("a", "a"));
  EXPECT_FALSE(KeyMatch("ab", "a"));
  EXPECT_FALSE(KeyMatch("*", "a"));
  EXPECT_TRUE(KeyMatch("a/x/c", "a/*/b"));
}

RC_GTEST_PROP(KeyMatchProperty, IsCasbins, ()) {
  const auto text = rc::gen::container<std::string>(rc::gen::element('a', 'b', '*', '/'));
  const std::string key = *text;
  const std::string pattern = *text;
  RC_ASSERT(KeyMatch(key, pattern) == NaiveKeyMatch(key, pattern));
  // Unrelated texts rarely match; these do.
  const std::string grown = pattern.substr(0, pattern.find('*')) + key;
  RC_ASSERT(KeyMatch(grown, pattern) == NaiveKeyMatch(grown, pattern));
}

}  // namespace
}  // namespace mokv::auth
