#include "auth/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/status.h"

namespace mokv::auth {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

std::vector<Rule> Parsed(std::string_view text) {
  const absl::StatusOr<std::vector<Rule>> rules = ParsePolicy(text, "p.csv");
  EXPECT_TRUE(rules.ok()) << rules.status();
  return rules.ok() ? *rules : std::vector<Rule>();
}

void ExpectRefused(std::string_view text, std::string_view message) {
  const absl::Status status = ParsePolicy(text, "p.csv").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_THAT(std::string(MessageOf(status)), StartsWith(std::string(message)));
}

TEST(Policy, ReadsRulesCommentsAndEmptyLines) {
  EXPECT_TRUE(Parsed("").empty());
  EXPECT_THAT(
      Parsed("# comment\n\n  p, root, *, consume  \r\np,a,b,c\n\t# more\np ,\tx , y z , w"),
      ElementsAre(Rule{"root", "*", "consume"}, Rule{"a", "b", "c"}, Rule{"x", "y z", "w"}));
}

TEST(Policy, ReadsQuotedFields) {
  EXPECT_THAT(Parsed("p, \"a, b\" , \" spaced \", \"say \"\"hi\"\"\"\n\"p\",x,\"#\",\"y\""),
              ElementsAre(Rule{"a, b", " spaced ", "say \"hi\""}, Rule{"x", "#", "y"}));
}

TEST(Policy, NamesTheLineOfWhatItRefuses) {
  ExpectRefused("p, root, *, consume\n\ng, alice, admins", "p.csv:3: unknown kind of line 'g'");
  ExpectRefused("p2, a, b, c", "p.csv:1: unknown kind of line 'p2'");
  ExpectRefused("p", "p.csv:1: expected 4 fields");
  ExpectRefused("p, root, *", "p.csv:1: expected 4 fields (p, subject, object, action), found 3");
  ExpectRefused("p, root, *, consume, deny", "p.csv:1: expected 4 fields");
  ExpectRefused("p, root, *, consume # no comment here, really", "p.csv:1: expected 4 fields");
  ExpectRefused("p, a, b, c,", "p.csv:1: expected 4 fields");
  ExpectRefused("p, , b, c", "p.csv:1: empty field");
  ExpectRefused("p, a, \"\", c", "p.csv:1: empty field");
  ExpectRefused("p, a, b,", "p.csv:1: empty field");
  ExpectRefused(",,,", "p.csv:1: unknown kind of line ''");
  ExpectRefused("p, a, b\"c, d", "p.csv:1: a quote within a field");
  ExpectRefused("p, a, \"b, c\nd\"", "p.csv:1: a quoted field that does not end");
  ExpectRefused("p, a, \"b\" c, d", "p.csv:1: text after the end of a quoted field");
}

}  // namespace
}  // namespace mokv::auth
