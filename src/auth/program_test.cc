#include "auth/program.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "auth/ranges.h"
#include "auth/testing/rule_by_rule.h"
#include "base/random.h"
#include "base/status.h"

namespace mokv::auth {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::string_view kAllow = "some(where (p.eft == allow))";
constexpr std::string_view kBoth = "some(where (p.eft == allow)) && !some(where (p.eft == deny))";

std::string ModelText(std::string_view matcher, std::string_view effect = kAllow,
                      std::string_view policy = "sub, obj, act, eft",
                      std::string_view request = "sub, obj, act") {
  return fmt::format(
      "[request_definition]\nr = {}\n[policy_definition]\np = {}\n[role_definition]\ng = _, _\n"
      "g2 = _, _, _\n[policy_effect]\ne = {}\n[matchers]\nm = {}\n",
      request, policy, effect, matcher);
}

absl::StatusOr<std::unique_ptr<const Program>> Load(const std::string& model_text,
                                                    const std::string& policy_text) {
  MOKV_ASSIGN_OR_RETURN(Model model, ParseModel(model_text, "m.conf"));
  MOKV_ASSIGN_OR_RETURN(Policy policy, ParsePolicy(policy_text, "p.csv", model));
  return Program::Create(std::move(model), std::move(policy));
}

bool Allows(const std::string& model, const std::string& policy,
            const std::vector<std::string_view>& request) {
  const auto program = Load(model, policy);
  EXPECT_TRUE(program.ok()) << program.status();
  return program.ok() && IsAllowed((*program)->effect(), (*program)->Find(request));
}

void ExpectRefused(const std::string& matcher, std::string_view policy, std::string_view start,
                   std::string_view part) {
  const absl::Status status = Load(ModelText(matcher), std::string(policy)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << matcher;
  EXPECT_THAT(std::string(MessageOf(status)), StartsWith(std::string(start)));
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(std::string(part)));
}

TEST(Program, ComparesValuesAsJavaScriptDoes) {
  const auto says = [](std::string_view matcher, std::string_view subject) {
    return Allows(ModelText(fmt::format("p.act == '10' && ({})", matcher)), "p, 7, x*, 10, allow",
                  {subject, "o", "10"});
  };
  EXPECT_TRUE(says("r.sub == 7 && 7 == p.sub", "7.0"));
  EXPECT_FALSE(says("r.sub == p.sub", "7.0"));
  EXPECT_TRUE(says("r.sub < 10", "9"));
  EXPECT_FALSE(says("r.sub < p.act", "9"));  // Two texts.
  EXPECT_TRUE(says("r.sub * 1 < p.act", "9"));
  EXPECT_FALSE(says("r.sub < 10 || r.sub >= 10", "many"));
  EXPECT_TRUE(says("r.sub == 0", ""));
  EXPECT_TRUE(says("r.sub + p.obj == 'axx*'", "ax"));
  EXPECT_TRUE(says("r.sub + 'y' in ('a', 'xy')", "x"));
  EXPECT_FALSE(says("r.sub in (7)", "7"));
  EXPECT_TRUE(says("-r.sub + 3 / 2 - 0.5 == -6", "7"));
  EXPECT_TRUE(says("(r.sub == 'a') == true", "a"));
  EXPECT_TRUE(says("r.sub == true", "1"));
  EXPECT_TRUE(says("r.sub", "a"));
  EXPECT_FALSE(says("r.sub", ""));
  EXPECT_TRUE(says("!r.sub", ""));
  EXPECT_TRUE(says("(r.sub || 'other') == 'other'", ""));
  EXPECT_TRUE(says("keyGet(r.sub, p.obj) == '/1'", "x/1"));
  EXPECT_TRUE(says("keyGet2(r.sub, '/a/:id/*', 'id') == '5'", "/a/5/6"));
  EXPECT_FALSE(says("keyGet2(r.sub, '/a/:id', 'name')", "/a/5"));
}

TEST(Condition, ReadsNumbersAsJavaScriptDoes) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(ToNumber(""), 0);
  EXPECT_EQ(ToNumber(" \n\xc2\xa0\xef\xbb\xbf"), 0);
  EXPECT_EQ(ToNumber("\xe2\x80\x83-1.5e2\v"), -150);
  EXPECT_EQ(ToNumber("+.5"), 0.5);
  EXPECT_EQ(ToNumber("5."), 5);
  EXPECT_EQ(ToNumber("0x1F"), 31);
  EXPECT_EQ(ToNumber("0Xff"), 255);
  EXPECT_EQ(ToNumber("0b101"), 5);
  EXPECT_EQ(ToNumber("0o17"), 15);
  EXPECT_EQ(ToNumber("0x20000000000001"), 9007199254740992);  // 2^53 + 1, to the even one.
  EXPECT_EQ(ToNumber("0x20000000000003"), 9007199254740996);
  EXPECT_EQ(ToNumber("0x2000000000000100000000000"), std::ldexp(1, 97));
  EXPECT_EQ(ToNumber("0x2000000000000100000000001"), std::ldexp(4503599627370497, 45));
  EXPECT_EQ(ToNumber("0x" + std::string(300, '1')), kInfinity);
  EXPECT_EQ(ToNumber("0b" + std::string(2'000, '0') + "1"), 1);
  EXPECT_EQ(ToNumber("1e400"), kInfinity);
  EXPECT_EQ(ToNumber("-1" + std::string(400, '0')), -kInfinity);
  EXPECT_EQ(ToNumber("1e-400"), 0);
  EXPECT_EQ(ToNumber("0." + std::string(400, '0') + "1e+50"), 0);
  EXPECT_EQ(ToNumber("1e99999999999999999999"), kInfinity);
  EXPECT_EQ(ToNumber("1e-99999999999999999999"), 0);
  EXPECT_EQ(ToNumber("1e9223372036854775807"), kInfinity);
  EXPECT_EQ(ToNumber("0e999"), 0);
  EXPECT_EQ(ToNumber("5e-324"), std::numeric_limits<double>::denorm_min());
  EXPECT_EQ(ToNumber("-Infinity"), -kInfinity);
  for (const std::string_view none :
       {"x", "-", ".", "--1", "1 2", "0x", "0xg", "-0x1", "+0b1", "0b2", "0o8", "infinity", "nan",
        "1e", "1_0", "0x1.8", "0x1p3"}) {
    EXPECT_TRUE(std::isnan(ToNumber(none))) << none;
  }
}

TEST(Program, AsksRulesOfThePolicy) {
  const std::string model = ModelText("eval(p.rule) && r.obj == p.obj", kBoth, "rule, obj, eft");
  const std::string policy =
      "p, r.act > 18 && r.sub != 'eve', beer, allow\np, \"r.sub in ('ann', 'ben')\", beer, deny\n"
      "p, p.obj == r.sub, self, allow";
  EXPECT_TRUE(Allows(model, policy, {"cy", "beer", "19"}));
  EXPECT_FALSE(Allows(model, policy, {"cy", "beer", "18"}));
  EXPECT_FALSE(Allows(model, policy, {"eve", "beer", "19"}));
  EXPECT_FALSE(Allows(model, policy, {"ann", "beer", "19"}));
  EXPECT_TRUE(Allows(model, policy, {"self", "self", ""}));
}

TEST(Program, AllowsWithoutARuleOnlyWhatTheMatcherSaysAlone) {
  const std::string root = ModelText("r.sub == p.sub && r.obj == p.obj || r.sub == 'root'");
  EXPECT_TRUE(Allows(root, "", {"root", "x", "y"}));
  EXPECT_FALSE(Allows(root, "", {"", "", ""}));  // Casbin would.
  EXPECT_FALSE(Allows(ModelText("r.act != p.act"), "", {"a", "b", "c"}));
  EXPECT_FALSE(Allows(ModelText("eval(p.sub)"), "", {"a", "b", "c"}));
  EXPECT_TRUE(Allows(ModelText("r.sub == r.obj"), "g, a, b", {"x", "x", ""}));
  EXPECT_FALSE(Allows(ModelText("r.sub == r.obj"), "g, a, b", {"x", "y", ""}));
}

// Casbin passes over all of them: what denies would allow.
TEST(Program, RefusesRulesThatTheMatcherDoesNotRead) {
  ExpectRefused(
      "g(r.sub, 'admins')", "g, ann, admins\n\np, ann, x, y, deny\np, ann, z, y, deny",
      "p.csv:3: a rule that nothing asks: the matcher, m.conf:11: [matchers] m, reads no field",
      "take the rules out");
  const std::string model =
      ModelText("r.sub == 'ann'", "priority(p.eft) || deny", "priority, sub, eft");
  const absl::Status status = Load(model, "p, 2, ann, deny\np, 1, ann, deny").status();
  EXPECT_THAT(std::string(MessageOf(status)), StartsWith("p.csv:1: "));
}

// The stars stand for so little that the path has fewer parts than the pattern.
TEST(Program, DoesNotKnowAPartThatIsNotThere) {
  for (const std::string_view matcher :
       {"keyGet2(r.obj, p.obj, 'id') == ''", "keyGet2(r.obj, p.obj, 'id') != ''"}) {
    const std::string denies = ModelText(matcher, "!some(where (p.eft == deny))");
    EXPECT_FALSE(Allows(ModelText(matcher), "p, a, /*/*/*/:id, x, allow", {"b", "//a/id/id", "a"}));
    EXPECT_FALSE(Allows(denies, "p, a, /*/*/*/:id, x, deny", {"b", "//a/id/id", "a"}));
  }
  EXPECT_TRUE(Allows(ModelText("keyGet2(r.obj, p.obj, 'id') == '7'"), "p, a, /*/*/*/:id, x, allow",
                     {"b", "/a/b/c/7", "a"}));
}

// What ipMatch says of a name is not known, so such a rule must neither allow nor fail to deny.
TEST(Program, DeniesWhenInDoubt) {
  for (const std::string_view matcher :
       {"ipMatch(r.sub, p.sub) && r.obj == p.obj", "!ipMatch(r.sub, p.sub) && r.obj == p.obj"}) {
    const std::string model = ModelText(matcher, "!some(where (p.eft == deny))");
    EXPECT_FALSE(Allows(model, "p, 10.0.0.0/8, a, x, deny", {"alice", "a", ""})) << matcher;
    EXPECT_TRUE(Allows(model, "p, 10.0.0.0/8, a, x, deny", {"alice", "b", ""})) << matcher;
    EXPECT_FALSE(Allows(ModelText(matcher), "p, 10.0.0.0/8, a, x, allow", {"alice", "a", ""}));
  }
  EXPECT_TRUE(Allows(ModelText("ipMatch(r.sub, p.sub)"), "p, 10.0.0.0/8, a, x, allow",
                     {"10.1.1.1", "a", ""}));
}

// A request's texts may be long, and rules many: what they join must not add up.
TEST(Program, BoundsTheTextsThatItJoins) {
  const std::string model =
      ModelText("r.obj + r.obj + r.obj + r.obj == p.obj + p.obj + p.obj + p.obj && r.sub == p.sub",
                "!some(where (p.eft == deny))");
  const std::string rules = "p, a, x, y, deny\np, b, x, y, deny\n";
  const std::string fits(kJoinedBytesMax / 4, 'x');
  EXPECT_TRUE(Allows(model, rules, {"a", fits, "y"}));
  EXPECT_FALSE(Allows(model, rules, {"a", "x", "y"}));
  // Of longer ones nothing is known: such a rule denies, and does not allow.
  EXPECT_FALSE(Allows(model, rules, {"a", fits + "x", "y"}));
  EXPECT_TRUE(Allows(model, rules, {"c", fits + "x", "y"}));
  EXPECT_FALSE(Allows(ModelText("r.obj + r.obj + r.obj + r.obj != p.obj"), "p, a, x, y, allow",
                      {"a", fits + "x", "y"}));

  const auto joins = [](size_t count) {
    std::string result = "r.sub";
    for (size_t i = 0; i < count; ++i) result += " + r.sub";
    return result + " == p.sub";
  };
  EXPECT_TRUE(Load(ModelText(joins(Compiler::kJoinsMax)), "").ok());
  ExpectRefused(joins(Compiler::kJoinsMax + 1), "", "m.conf:11: [matchers] m: at byte",
                "more than 64 '+' that join texts of a request");
  ExpectRefused("r.sub == p.sub + p.sub",
                fmt::format("p, {}, x, y, allow", std::string(9'000, 'a')),
                "p.csv:1:", "'+' makes a text of 18000 bytes; at most 16384 are taken");
}

// Two texts that are joined for two rules may lie at the same place, one after the other.
TEST(Program, MatchesEachTextThatItJoins) {
  const std::string model = ModelText("regexMatch(r.sub + p.obj, '^[ab]+$') && r.act == p.act");
  std::string rules;
  for (int i = 0; i < 20; ++i) {
    rules += fmt::format("p, x, {}, y, allow\n", std::string(40, 'c'));
  }
  EXPECT_FALSE(Allows(model, rules, {"a", "o", "y"}));
  EXPECT_TRUE(Allows(model, fmt::format("{}p, x, {}, y, allow\n", rules, std::string(40, 'b')),
                     {"a", "o", "y"}));
}

TEST(Program, RefusesWhatIsWrongInTheModel) {
  const auto refused = [](const std::string& matcher, std::string_view part) {
    ExpectRefused(matcher, "p, a, b, c, allow", "m.conf:11: [matchers] m: at byte", part);
  };
  refused("r.dom == p.sub", "r.dom is not in the model's request definition");
  refused("r.sub == p.dom", "p.dom is not in the model's policy definition");
  refused("match(r.sub, p.sub)", "unknown function 'match'; there are keyMatch");
  refused("g3(r.sub, p.sub)", "unknown function 'g3'");
  refused("g(r.sub)", "g takes 2 arguments, found 1");
  refused("g2(r.sub, p.sub)", "g2 takes 3 arguments, found 2");
  refused("keyMatch(r.sub, 1)", "keyMatch takes texts, found a number");
  refused("regexMatch(p.sub, r.sub)", "the pattern of regexMatch comes from a request");
  refused("regexMatch(r.sub, '(')", "pattern \"(\" of regexMatch: at byte 2: '(' without");
  refused("eval(r.sub)", "eval() takes one field of the policy");
  refused("eval(p.sub, p.obj)", "eval() takes one field of the policy");
  refused("eval(p.rule)", "p.rule is not in");
  refused("r.sub + 1 == 'a1'", "'+' adds numbers or joins texts; here it has a text and a number");
  refused("true < 1", "neither less nor more");
  refused("1 + 1", "a number where true or false is wanted");
  refused("r.sub == p.sub && 1", "a number where true or false is wanted");
  refused("(r.sub || 1) == 1", "now one kind of value, now another");
}

TEST(Program, NamesTheLineOfWhatIsWrongInALongMatcher) {
  ExpectRefused("r.sub == p.sub && \\\n# two\nr.obj == p.obj && \\\nr.dom == p.act", "",
                "m.conf:14: [matchers] m: at byte 37",
                "r.dom is not in the model's request definition");
}

// Each definition alone is within the bound.
TEST(Program, BoundsThePairsOfAllRoleDefinitions) {
  constexpr int kMembers = 3'000;  // Of three thousand roles each, through one.
  std::string rules;
  for (int i = 0; i < kMembers; ++i) {
    rules += fmt::format("g, m{0}, r\ng, r, r{0}\ng2, m{0}, r, d\ng2, r, r{0}, d\n", i);
  }
  ExpectRefused("g(r.sub, p.sub)", rules,
                "p.csv: with the lines g2, there are more than 16777216 pairs",
                "give fewer roles to roles");
}

// Each rule has the whole matcher.
TEST(Compiler, BoundsTheMatchersOfAllRules) {
  const Model model = *ParseModel(ModelText("r.sub == p.sub"), "m.conf");
  const std::map<std::string, Roles> roles;
  Names names;
  Compiler compiler(model, roles, names, /*parts_max=*/6);
  const Rule rule{.line = 1, .fields = {"a", "b", "c", "allow"}};
  Condition condition;
  ExpressionError error;
  EXPECT_TRUE(compiler.Compile(&rule, condition, error));  // Three parts.
  EXPECT_TRUE(compiler.Compile(&rule, condition, error));
  EXPECT_FALSE(compiler.Compile(&rule, condition, error));
  EXPECT_EQ(
      error.reason,
      "the matcher, made ready for each of the rules so far, comes to more than 6 operators and "
      "operands; shorten it, or have fewer rules");
}

// Each keeps memory for what it learns of texts.
TEST(Program, BoundsTheExpressionsOfAllRules) {
  std::string rules;
  for (size_t i = 0; i < Compiler::kExpressionsMax; ++i) {
    // Twice the same expression, and a path that is none.
    rules += fmt::format("p, ^a+{0}$, /b/{{x}}/{0}, c, allow\np, ^a+{0}$, /d/*, c, allow\n", i);
  }
  const std::string matcher = "regexMatch(r.sub, p.sub) && keyMatch5(r.obj, p.obj)";
  EXPECT_TRUE(Load(ModelText(matcher), rules).ok());
  const auto line = 2 * Compiler::kExpressionsMax + 1;
  ExpectRefused(matcher, rules + "p, x+, /d/*, c, allow", fmt::format("p.csv:{}: pattern", line),
                "more than 4096 different expressions");
  ExpectRefused(matcher, rules + "p, ^a+1$, /d/{x}z+, c, allow",
                fmt::format("p.csv:{}: pattern", line), "more than 4096 different expressions");
}

TEST(Program, RefusesWhatIsWrongInARule) {
  ExpectRefused("regexMatch(r.sub, p.sub)", "p, a, b, c, allow\np, (?=x), b, c, allow",
                "p.csv:2: pattern \"(?=x)\" of regexMatch", "looking ahead or behind");
  ExpectRefused("ipMatch(r.sub, p.sub)", "p, alice, b, c, allow", "p.csv:1: pattern \"alice\"",
                "neither an IP address nor a network");
  ExpectRefused("eval(p.sub)", "p, r.sub = 1, b, c, allow",
                "p.csv:1: field sub, at byte 7 of the expression", "is no operator");
  ExpectRefused("eval(p.sub)", "p, eval(p.obj), b, c, allow",
                "p.csv:1: field sub, at byte 1 of the expression", "within a rule that eval()");
  ExpectRefused("eval(p.sub)", "p, 1 + 1, b, c, allow",
                "p.csv:1:", "a number where true or false is wanted");
}

// Matchers whose terms are looked up in each of the ways there are.
constexpr std::string_view kMatchers[] = {
    "r.sub == p.sub && r.obj == p.obj && r.act == p.act",
    "r.sub == p.sub && keyMatch(r.obj, p.obj) && r.act == p.act",
    "g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && (r.act == p.act || p.act == 'a')",
    "g(r.sub, p.sub) && g(r.obj, p.obj)",
    "g2(r.sub, p.sub, r.act) && r.act == p.act && keyMatch(r.obj, p.obj)",
    "g2(r.sub, p.sub, p.act) && r.act == p.act",
    "g2(r.sub, p.sub, p.act) && keyMatch(r.obj, p.obj)",
    "r.sub == p.sub && keyMatch(r.obj, p.obj) || r.act == 'a' && r.obj == p.act || r.sub == 'ab'",
    "r.sub == p.sub && r.sub == 'a' && keyMatch(r.obj, p.obj) && r.obj != p.act",
    "keyMatch(r.obj, p.obj) && keyMatch(r.obj, p.act) && r.sub != p.sub",
    "(keyMatch(r.obj, p.obj) || r.sub == p.sub) && !(r.act == p.act)",
    "regexMatch(r.obj, '^(|a)' + p.sub) && p.obj >= r.obj",
    "keyMatch(r.sub, p.sub) && r.obj == p.obj",
    "ipMatch(r.sub, '10.0.0.0/8') && keyMatch(r.obj, p.obj) || r.act == p.act",
    "p.sub == 'a' || r.obj == p.obj && p.act in ('a', 'b')",
};

// Goal:   looked up, grouped and sorted, rules come to what they come to one by one; and what Ranges says
//         of many objects is what is so for each.
// Method: few short texts over few letters, so that rules match often and prefixes nest.
TEST(Program, AgreesWithItsRulesOneByOne) {
  constexpr uint64_t kSeed = 20;
  SeededRandom random(kSeed);
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  constexpr std::string_view kTexts[] = {"a", "b", "ab", "a*", "ab*", "*", "abb*", "b/*", "abb"};
  constexpr std::string_view kObjects[] = {"", "a", "b", "ab", "abb", "abc", "b/", "b/x", "*", "c"};
  constexpr std::string_view kEffects[] = {kAllow, "!some(where (p.eft == deny))", kBoth,
                                           "priority(p.eft) || deny"};
  const auto text = [&] { return kTexts[random.Next() % std::size(kTexts)]; };
  int ranged = 0;
  for (int round = 0; round < 2'000; ++round) {
    const std::string_view matcher = kMatchers[random.Next() % std::size(kMatchers)];
    const std::string_view effect = kEffects[random.Next() % std::size(kEffects)];
    std::string rules = "p, a, a, a, allow\n";
    for (uint64_t i = random.Next() % 8; i > 0; --i) {
      rules += fmt::format("p, {}, {}, {}, {}\n", text(), text(), text(),
                           random.Next() % 3 == 0 ? "deny" : "allow");
    }
    for (uint64_t i = random.Next() % 4; i > 0; --i) {
      rules += fmt::format("g, {}, {}\ng2, {}, {}, {}\n", text(), text(), text(), text(), text());
    }
    const std::string model_text = ModelText(matcher, effect);
    SCOPED_TRACE(model_text + rules);
    const auto program = Load(model_text, rules);
    ASSERT_TRUE(program.ok()) << program.status();
    const Model model = *ParseModel(model_text, "m.conf");
    const RuleByRule reference(model, *ParsePolicy(rules, "p.csv", model));
    for (int i = 0; i < 4; ++i) {
      std::vector<std::string_view> request = {text(), "", text()};
      const std::vector<ObjectRange> ranges = RangesOf(**program, request);
      for (const std::string_view object : kObjects) {
        request[1] = object;
        const Firsts firsts = reference.Find(request);
        ASSERT_EQ((*program)->Find(request), firsts) << request[0] << " " << object;
        const Truth said = AllowedWithin(ranges, object, std::string(object) + '\0');
        ranged += said != Truth::kUnknown;
        if (said == Truth::kUnknown) continue;
        ASSERT_EQ(said == Truth::kTrue, IsAllowed((*program)->effect(), firsts))
            << request[0] << " " << object << " " << request[2];
      }
    }
  }
  EXPECT_GT(ranged, 40'000);  // Of 80,000: most of it is known beforehand.
}

// Goal:   what a decision costs grows with the rules, not with the product of two numbers of roles.
// Method: both sides have so many that the product would take minutes, in which the test is over.
TEST(Program, DoesNotTryEachPairOfRoles) {
  constexpr int kRoles = 10'000;
  constexpr int kRequests = 200;
  std::string rules;
  for (int i = 0; i < kRoles; ++i) {
    rules += fmt::format("p, s{0}, o{0}, x, allow\ng, ann, s{0}\ng, ledger, o{0}\n", i);
  }
  const auto program =
      Load(ModelText("g(r.sub, p.sub) && g(r.obj, p.obj) && r.act == p.act"), rules);
  ASSERT_TRUE(program.ok()) << program.status();
  const auto allows = [&](std::vector<std::string_view> request) {
    return IsAllowed((*program)->effect(), (*program)->Find(request));
  };
  for (int i = 0; i < kRequests; ++i) {
    ASSERT_TRUE(allows({"ann", "ledger", "x"}));
    ASSERT_FALSE(allows({"ann", "ledger", "y"}));
  }
  EXPECT_TRUE(allows({"ann", "o7", "x"}));
  EXPECT_TRUE(allows({"s7", "ledger", "x"}));
  EXPECT_FALSE(allows({"s7", "o8", "x"}));
}

TEST(Ranges, FollowFromPrefixesAndSingleObjects) {
  const std::string model =
      ModelText("r.sub == p.sub && keyMatch(r.obj, p.obj) && r.act == p.act", kBoth);
  const Model parsed = *ParseModel(model, "m.conf");
  Policy policy = *ParsePolicy(
      "p, a, b*, x, allow\np, a, bb*, x, deny\np, a, d, x, allow\np, a, last*, x, allow\np, c, *, "
      "x, allow\n",
      "p.csv", parsed);
  policy.rules[3].fields[1] =
      "\xff*";  // A prefix without an end, which no file has: it is no UTF-8.
  const auto program = Program::Create(parsed, policy);
  ASSERT_TRUE(program.ok()) << program.status();
  const auto of = [&](std::string_view subject) {
    const std::vector<std::string_view> request = {subject, "", "x"};
    return RangesOf(**program, request);
  };
  const std::vector<ObjectRange> expected = {{"", "b", Truth::kFalse},
                                             {"b", "bb", Truth::kTrue},
                                             {"bb", "bc", Truth::kFalse},
                                             {"bc", "c", Truth::kTrue},
                                             {"c", "d", Truth::kFalse},
                                             {"d", std::string("d\0", 2), Truth::kTrue},
                                             {std::string("d\0", 2), "\xff", Truth::kFalse},
                                             {"\xff", std::nullopt, Truth::kTrue}};
  EXPECT_EQ(of("a"), expected);
  EXPECT_EQ(of("c"), (std::vector<ObjectRange>{{"", std::nullopt, Truth::kTrue}}));
  EXPECT_EQ(of("nobody"), (std::vector<ObjectRange>{{"", std::nullopt, Truth::kFalse}}));

  const std::vector<ObjectRange> ranges = of("a");
  EXPECT_EQ(RangeAt(ranges, ""), 0U);
  EXPECT_EQ(RangeAt(ranges, "b"), 1U);
  EXPECT_EQ(RangeAt(ranges, "bbz"), 2U);
  EXPECT_EQ(RangeAt(ranges, "\xff\xff"), 7U);
  EXPECT_EQ(AllowedWithin(ranges, "b", "bb"), Truth::kTrue);
  EXPECT_EQ(AllowedWithin(ranges, "b", "bba"), Truth::kUnknown);
  EXPECT_EQ(AllowedWithin(ranges, "bba", "bbz"), Truth::kFalse);
  EXPECT_EQ(AllowedWithin(ranges, "", std::nullopt), Truth::kUnknown);
  EXPECT_EQ(AllowedWithin(ranges, "\xff\x01", std::nullopt), Truth::kTrue);
  EXPECT_EQ(AllowedWithin(ranges, "x", "x"), Truth::kTrue);
  EXPECT_EQ(AllowedWithin(ranges, "x", std::nullopt), Truth::kUnknown);
}

}  // namespace
}  // namespace mokv::auth
