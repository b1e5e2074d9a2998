#include "auth/policy.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/status.h"

namespace mokv::auth {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

Model ModelOf(std::string_view fields, std::string_view effect = "some(where (p.eft == allow))",
              std::string_view roles = "g = _, _\ng2 = _, _, _") {
  absl::StatusOr<Model> model = ParseModel(
      fmt::format("[request_definition]\nr = sub, obj, act\n[policy_definition]\np = {}\n"
                  "[role_definition]\n{}\n[policy_effect]\ne = {}\n[matchers]\nm = true\n",
                  fields, roles, effect),
      "m.conf");
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *std::move(model) : Model();
}

Policy Parsed(std::string_view text, const Model& model) {
  absl::StatusOr<Policy> policy = ParsePolicy(text, "p.csv", model);
  EXPECT_TRUE(policy.ok()) << policy.status();
  return policy.ok() ? *std::move(policy) : Policy();
}

void ExpectRefused(std::string_view text, std::string_view message,
                   const Model& model = ModelOf("sub, obj, act")) {
  const absl::Status status = ParsePolicy(text, "p.csv", model).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_THAT(std::string(MessageOf(status)), StartsWith(std::string(message)));
}

std::vector<int> LinesOf(const Policy& policy) {
  std::vector<int> lines;
  for (const Rule& rule : policy.rules) lines.push_back(rule.line);
  return lines;
}

TEST(Policy, ReadsRulesAndRoles) {
  const Policy policy = Parsed(
      "# comment\np, root, *, consume, deny\n\ng, alice, admin\ng2, a, b, north\r\n"
      "p, \"a, b\", x y, c, allow",
      ModelOf("sub, obj, act, eft"));
  EXPECT_THAT(policy.rules, ElementsAre(Rule{2, true, {"root", "*", "consume", "deny"}},
                                        Rule{6, false, {"a, b", "x y", "c", "allow"}}));
  EXPECT_THAT(policy.roles, ElementsAre(RoleRule{4, "g", "alice", "admin", ""},
                                        RoleRule{5, "g2", "a", "b", "north"}));
  EXPECT_EQ(RuleText(policy.rules[1]), "p, \"a, b\", x y, c, allow");
}

TEST(Policy, WritesAQuotedFieldAsItCouldStandInTheFile) {
  EXPECT_EQ(RuleText({1, false, {"say \"hi\"", "b"}}), "p, \"say \"\"hi\"\"\", b");
  EXPECT_EQ(RuleText({1, false, {"(", "f(x,y)", "f(x, y)", "a\vb"}}),
            "p, \"(\", f(x,y), \"f(x, y)\", \"a\vb\"");
}

TEST(Policy, SortsByPriority) {
  const Model model = ModelOf("priority, sub, eft", "priority(p.eft) || deny");
  EXPECT_THAT(
      LinesOf(Parsed("p, 10, a, allow\np, 2, b, deny\np, 10, c, deny\np, -1, d, allow", model)),
      ElementsAre(4, 2, 1, 3));
  ExpectRefused("p, 1, a, allow\np, high, b, deny", "p.csv:2: the field priority is \"high\"",
                model);
  EXPECT_THAT(
      LinesOf(Parsed("p, 9007199254740991, a, allow\np, -9007199254740991, b, deny", model)),
      ElementsAre(2, 1));
  for (const std::string_view number :
       {"9007199254740992", "-9007199254740992", "-9223372036854775808", "9223372036854775808"}) {
    ExpectRefused(fmt::format("p, 1, a, deny\np, {}, a, allow", number),
                  fmt::format("p.csv:2: the field priority is \"{}\"; expected a whole number, of "
                              "9007199254740991 at most",
                              number),
                  model);
  }
  ExpectRefused("p, 1.5, a, allow", "p.csv:1: the field priority is \"1.5\"", model);
}

TEST(Policy, SortsMembersBeforeTheirRoles) {
  const Model model = ModelOf("sub, obj, eft", "subjectPriority(p.eft) || deny");
  EXPECT_THAT(
      LinesOf(Parsed("p, root, x, deny\np, other, x, allow\np, alice, x, allow\np, admin, x, deny\n"
                     "g, alice, admin\ng, admin, root\n",
                     model)),
      ElementsAre(3, 4, 1, 2));
  // Two ways up that are as long are fine.
  EXPECT_THAT(LinesOf(Parsed("p, a, x, deny\np, m, x, deny\ng, m, a\ng, m, b", model)),
              ElementsAre(2, 1));
  // The line of the shorter way, the first if there are several.
  ExpectRefused("g, m, a\ng, a, top\ng, m, top", "p.csv:3: \"m\" has roles on different levels",
                model);
  ExpectRefused("g, m, top\ng, n, top\ng, a, top\ng, m, a\ng, n, a",
                "p.csv:1: \"m\" has roles on different levels", model);
  ExpectRefused("g, top, a\ng, a, b\ng, b, a", "p.csv:1: \"top\" is above itself, or below", model);
  ExpectRefused("g, a, a", "p.csv:1: \"a\" is above itself", model);
}

TEST(Policy, SortsMembersByDomain) {
  const Model model =
      ModelOf("sub, obj, dom, eft", "subjectPriority(p.eft) || deny", "g = _, _, _");
  EXPECT_THAT(LinesOf(Parsed("p, admin, x, north, deny\np, alice, x, south, allow\n"
                             "p, alice, x, north, allow\ng, alice, admin, north\n",
                             model)),
              ElementsAre(3, 1, 2));
}

TEST(Policy, NamesTheLineOfWhatItRefuses) {
  ExpectRefused("p, root, *, consume\n\nx, alice, admins",
                "p.csv:3: unknown kind of line \"x\"; by the model there are p, g, g2");
  ExpectRefused("p2, a, b, c", "p.csv:1: unknown kind of line \"p2\"");
  ExpectRefused(",,,", "p.csv:1: unknown kind of line \"\"");
  ExpectRefused("p", "p.csv:1: expected 4 fields");
  ExpectRefused("p, root, *", "p.csv:1: expected 4 fields (p, sub, obj, act), found 3");
  ExpectRefused("p, root, *, consume, deny", "p.csv:1: expected 4 fields");
  ExpectRefused("p, root, *, consume # no comment here, really", "p.csv:1: expected 4 fields");
  ExpectRefused("p, a, b, c,", "p.csv:1: expected 4 fields");
  ExpectRefused("p, , b, c", "p.csv:1: empty field");
  ExpectRefused("p, a, \"\", c", "p.csv:1: empty field");
  ExpectRefused("p, a, b,", "p.csv:1: empty field");
  ExpectRefused("g, a", "p.csv:1: expected 3 fields (g, member, role), found 2");
  ExpectRefused("g2, a, b", "p.csv:1: expected 4 fields (g2, member, role, domain), found 3");
  ExpectRefused("p, a, b, c, dney", "p.csv:1: the field eft is \"dney\"; expected allow or deny",
                ModelOf("sub, obj, act, eft"));
  ExpectRefused("p, a, \"b\" c, d", "p.csv:1: text after the end of a quoted field");
}

}  // namespace
}  // namespace mokv::auth
