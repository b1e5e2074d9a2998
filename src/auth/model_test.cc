#include "auth/model.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/status.h"

namespace mokv::auth {
namespace {

using ::testing::ElementsAre;
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

Model Parsed(const std::string& text) {
  absl::StatusOr<Model> model = ParseModel(text, "m.conf");
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *std::move(model) : Model();
}

void ExpectRefused(const std::string& text, std::string_view start, std::string_view part = "") {
  const absl::Status status = ParseModel(text, "m.conf").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  const std::string message(MessageOf(status));
  EXPECT_THAT(message, StartsWith(std::string(start)));
  EXPECT_THAT(message, HasSubstr(std::string(part)));
}

TEST(Model, ReadsItsParts) {
  const Model model = Parsed(With("[policy_effect]",
                                  "[role_definition]\ng = _, _\ng3 = _, _\ng2 = _,_ , _\n"
                                  "[policy_effect]"));
  EXPECT_THAT(model.request_fields, ElementsAre("sub", "obj", "act"));
  EXPECT_THAT(model.policy_fields, ElementsAre("sub", "obj", "act"));
  EXPECT_THAT(model.roles, ElementsAre(std::pair("g", 2), std::pair("g2", 3), std::pair("g3", 2)));
  EXPECT_EQ(model.effect, Effect::kAllowOverride);
  EXPECT_EQ(model.matcher.kind, Expression::Kind::kAnd);
  EXPECT_EQ(model.RequestField("act"), 2U);
  EXPECT_EQ(model.PolicyField("eft"), std::nullopt);
}

TEST(Model, ReadsSectionsInAnyOrderWithCommentsAndWhiteSpace) {
  const Model model = Parsed(
      "\xef\xbb\xbf# comment\r\n; comment\r\n\r\n  [matchers]   # here\r\n"
      "m=r.sub==p.sub&&\\\r\n  keyMatch( r.obj,p.obj )&&r.act==p.act# and here\r\n"
      "[policy_effect]\ne = some( where(p.eft==allow) )\n"
      "\t[policy_definition]\n\tp = sub,obj,act\n[request_definition]\nr  =  sub , obj , act");
  EXPECT_EQ(model.matcher.children.size(), 3U);
}

TEST(Model, RefusesWhatItDoesNotKnowAndSaysWhatItDoes) {
  ExpectRefused(With("[policy_effect]", "[roles]\ng = _, _\n[policy_effect]"),
                "m.conf:5: section [roles] is not supported", "supported are");
  ExpectRefused(With("[policy_effect]", "[roles]\n[policy_effect]"), "m.conf:5: section [roles]");
  ExpectRefused(With("r.act == p.act\n", "r.act == p.act\nm2 = r.sub == p.sub\n"),
                "m.conf:9: [matchers] m2: this key is not supported");
  for (const std::string_view key : {"r2", "p2", "e2"}) {
    const std::string line = fmt::format("\n{} = ", key.substr(0, 1));
    ExpectRefused(With(line, fmt::format("\n{} = sub\n{} = ", key, key.substr(0, 1))),
                  "m.conf:", fmt::format("{}: this key is not supported", key));
  }
  // Casbin would pass over these and all behind them, and over their lines in the policy.
  ExpectRefused(With("[policy_effect]", "[role_definition]\ng2 = _, _\n[policy_effect]"),
                "m.conf:6: [role_definition] g2: without g, Casbin");
  ExpectRefused(
      With("[policy_effect]", "[role_definition]\ng = _, _\ng4 = _, _\ng2 = _, _\n[policy_effect]"),
      "m.conf:7: [role_definition] g4: without g3, Casbin", "without a gap");
  for (const std::string_view key : {"g1", "g0", "g02", "gx", "h"}) {
    ExpectRefused(
        With("[policy_effect]", fmt::format("[role_definition]\n{} = _, _\n[policy_effect]", key)),
        fmt::format("m.conf:6: [role_definition] {}: this key is not supported", key));
  }
  ExpectRefused(With("some(where (p.eft == allow))", "some(where (p.eft == all))"),
                "m.conf:6: [policy_effect] e = some(where (p.eft == all)) is not supported",
                "priority(p.eft) || deny");
}

TEST(Model, RefusesDefinitionsThatAreNone) {
  ExpectRefused(With("r = sub, obj", "r = sub, , obj"),
                "m.conf:2: [request_definition] r: \"\" is no name of a field");
  ExpectRefused(With("p = sub, obj", "p = sub, ob j"),
                "m.conf:4: [policy_definition] p: \"ob j\" is no name");
  ExpectRefused(With("r = sub, obj", "r = sub, 1obj"), "m.conf:2:", "is no name");
  ExpectRefused(With("r = sub, obj", "r = sub, \\\n# why\n1obj"), "m.conf:4:", "is no name");
  ExpectRefused(With("r = sub, obj", "r = \\\nsub, \\\n sub"),
                "m.conf:4:", "field sub is there twice");
  ExpectRefused(With("r = sub, obj", "r = sub, \\\n , obj"), "m.conf:2:", "\"\" is no name");
  ExpectRefused(With("r = sub, obj", "r = sub, sub"), "m.conf:2:", "field sub is there twice");
  for (const std::string_view value : {"_", "_, _, _, _", "_, x", "__"}) {
    ExpectRefused(
        With("[policy_effect]", fmt::format("[role_definition]\ng = {}\n[policy_effect]", value)),
        "m.conf:6: [role_definition] g: expected _, _");
  }
  ExpectRefused(With("some(where (p.eft == allow))", "subjectPriority(p.eft) || deny"),
                "m.conf:6:", "needs a role definition g");
}

TEST(Model, WantsTheFieldsOfSubjectPriorityWhereCasbinLooksForThem) {
  const auto model = [](std::string_view policy, std::string_view roles) {
    std::string text = With("some(where (p.eft == allow))", "subjectPriority(p.eft) || deny");
    text.replace(text.find("p = sub, obj, act"), 17, fmt::format("p = {}", policy));
    return text + fmt::format("[role_definition]\ng = {}\n", roles);
  };
  Parsed(model("sub, obj, act, eft", "_, _"));
  Parsed(model("sub, obj, dom, act, eft", "_, _, _"));
  for (const std::string_view policy :
       {"sub, act, obj, eft", "obj, sub, act", "act, sub, obj", "sub, act", "sub, obj, act, dom"}) {
    ExpectRefused(model(policy, "_, _"), "m.conf:6: [policy_effect] e: subjectPriority finds",
                  "with g = _, _, p has to begin with sub, obj, and to be without dom");
  }
  for (const std::string_view policy :
       {"sub, dom, obj, act, eft", "sub, obj, act", "dom, sub, obj, act"}) {
    ExpectRefused(model(policy, "_, _, _"), "m.conf:6: [policy_effect] e: subjectPriority finds",
                  "with g = _, _, _, p has to begin with sub, obj, dom");
  }
}

TEST(Model, NamesTheLineOfABadMatcher) {
  ExpectRefused(With("r.sub == p.sub &&", "r.sub = p.sub &&"),
                "m.conf:8: [matchers] m: at byte 7 of the expression: \"=\" is no operator");
  ExpectRefused(With("keyMatch(r.obj, p.obj)", "\\\nkeyMatch(r.obj, p.obj \\\n"),
                "m.conf:10: [matchers] m: at byte");
  ExpectRefused(With("r.act == p.act", "r.act.x == p.act"), "m.conf:8:", "r.act has no attributes");
}

TEST(Model, RefusesWhatIsNoModel) {
  ExpectRefused("", "m.conf: section [request_definition] is missing");
  ExpectRefused("r = sub, obj, act\n", "m.conf:1: a line before");
  for (const std::string_view section : {"policy_definition", "policy_effect", "matchers"}) {
    const size_t start = kModel.find(section) - 1;
    std::string without(kModel);
    without.erase(start, kModel.find('\n', kModel.find('\n', start) + 1) + 1 - start);
    ExpectRefused(without, fmt::format("m.conf: section [{}] is missing", section));
  }
}

TEST(Effect, ReadsAllFiveAndNoOther) {
  EXPECT_EQ(ParseEffect("some(where (p.eft == allow))"), Effect::kAllowOverride);
  EXPECT_EQ(ParseEffect("!some( where(p_eft==deny) )"), Effect::kDenyOverride);
  EXPECT_EQ(ParseEffect("some(where (p.eft == allow)) && !some(where (p.eft == deny))"),
            Effect::kAllowAndDeny);
  EXPECT_EQ(ParseEffect("priority(p.eft)||deny"), Effect::kPriority);
  EXPECT_EQ(ParseEffect("subjectPriority(p.eft) || deny"), Effect::kSubjectPriority);
  EXPECT_EQ(ParseEffect("some(where (p.eft == al low))"), std::nullopt);
  EXPECT_EQ(ParseEffect("some(where (p.eft = = allow))"), std::nullopt);
  EXPECT_EQ(ParseEffect("priority(p.eft) | | deny"), std::nullopt);
  EXPECT_EQ(ParseEffect(""), std::nullopt);
}

TEST(Effect, ComesFromTheFirstRuleThatAllowsAndTheFirstThatDenies) {
  constexpr uint32_t kNone = Firsts::kNone;
  struct Case {
    Effect effect;
    Firsts firsts;
    bool allowed;
    uint32_t decider;
  };
  for (const Case& c : std::initializer_list<Case>{
           {Effect::kAllowOverride, {kNone, 3}, false, kNone},
           {Effect::kAllowOverride, {5, 3}, true, 5},
           {Effect::kDenyOverride, {kNone, kNone}, true, kNone},
           {Effect::kDenyOverride, {2, 3}, false, 3},
           {Effect::kAllowAndDeny, {kNone, kNone}, false, kNone},
           {Effect::kAllowAndDeny, {2, kNone}, true, 2},
           {Effect::kAllowAndDeny, {2, 3}, false, 3},
           {Effect::kPriority, {kNone, kNone}, false, kNone},
           {Effect::kPriority, {2, 3}, true, 2},
           {Effect::kPriority, {4, 3}, false, 3},
           {Effect::kSubjectPriority, {kNone, 1}, false, 1},
       }) {
    EXPECT_EQ(IsAllowed(c.effect, c.firsts), c.allowed) << c.firsts.allow << " " << c.firsts.deny;
    EXPECT_EQ(Decider(c.effect, c.firsts), c.decider);
  }
}

}  // namespace
}  // namespace mokv::auth
