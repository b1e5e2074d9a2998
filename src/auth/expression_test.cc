#include "auth/expression.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace mokv::auth {
namespace {

using ::testing::HasSubstr;

// The tree as text: every operator in brackets, before its operands.
std::string Shown(const Expression& expression) {
  static constexpr std::string_view kNames[] = {
      "number", "text", "boolean", "r", "p",  "call", "!", "neg", "||", "&&", "==",
      "!=",     "<",    "<=",      ">", ">=", "in",   "+", "-",   "*",  "/"};
  switch (expression.kind) {
    case Expression::Kind::kNumber:
      return fmt::format("{}", expression.number);
    case Expression::Kind::kText:
      return "'" + expression.text + "'";
    case Expression::Kind::kBoolean:
      return expression.boolean ? "true" : "false";
    case Expression::Kind::kRequestField:
      return "r." + expression.text;
    case Expression::Kind::kPolicyField:
      return "p." + expression.text;
    default:
      break;
  }
  std::string result = "(";
  result += expression.kind == Expression::Kind::kCall
                ? std::string_view(expression.text)
                : kNames[static_cast<size_t>(expression.kind)];
  for (const Expression& child : expression.children) result += " " + Shown(child);
  return result + ")";
}

std::string Parsed(std::string_view text) {
  Expression expression;
  ExpressionError error;
  if (!ParseExpression(text, expression, error)) {
    return fmt::format("{}: {}", error.position, error.reason);
  }
  return Shown(expression);
}

TEST(Expression, ReadsOperands) {
  EXPECT_EQ(Parsed(" r.sub "), "r.sub");
  EXPECT_EQ(Parsed("p.sub_rule2"), "p.sub_rule2");
  EXPECT_EQ(Parsed("'it\\'s' == \"a\\\\n\\n\""), "(== 'it's' 'a\\n\n')");
  EXPECT_EQ(Parsed("1.5e3"), "1500");
  EXPECT_EQ(Parsed("true"), "true");
  EXPECT_EQ(Parsed("f()"), "(f)");
  EXPECT_EQ(Parsed("g2(r.a, p.b, 'x')"), "(g2 r.a p.b 'x')");
}

TEST(Expression, KnowsWhichOperatorIsStronger) {
  EXPECT_EQ(Parsed("r.a == p.a && r.b == p.b || r.a == 'x'"),
            "(|| (&& (== r.a p.a) (== r.b p.b)) (== r.a 'x'))");
  EXPECT_EQ(Parsed("1 + 2 * 3 - 4 / 5 < 6"), "(< (- (+ 1 (* 2 3)) (/ 4 5)) 6)");
  EXPECT_EQ(Parsed("1 - 2 - 3"), "(- (- 1 2) 3)");
  EXPECT_EQ(Parsed("!r.a == !!true"), "(== (! r.a) (! (! true)))");
  EXPECT_EQ(Parsed("2 - -1"), "(- 2 (neg 1))");
  EXPECT_EQ(Parsed("(r.a || r.b) && r.c"), "(&& (|| r.a r.b) r.c)");
  EXPECT_EQ(Parsed("r.a == 'x' && r.b in ('y', p.c + 'z') && !(r.c in (1))"),
            "(&& (== r.a 'x') (in r.b 'y' (+ p.c 'z')) (! (in r.c 1)))");
}

TEST(Expression, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(Parsed(""), "0: expected a field, a value or a function, found the end");
  EXPECT_EQ(Parsed("r.a =="), "6: expected a field, a value or a function, found the end");
  EXPECT_EQ(Parsed("r.a r.b"), "4: expected an operator or the end, found \"r\"");
  EXPECT_THAT(Parsed("r.a = p.a"), HasSubstr("4: \"=\" is no operator"));
  EXPECT_THAT(Parsed("r.a & r.b"), HasSubstr("4: \"&\" is no operator"));
  EXPECT_THAT(Parsed("r.a ? 1 : 2"), HasSubstr("4: \"?\" is no operator"));
  EXPECT_EQ(Parsed("(r.a"), "4: expected ')', found the end");
  EXPECT_EQ(Parsed("f(r.a,)"), "6: expected a field, a value or a function, found \")\"");
  EXPECT_EQ(Parsed("'abc"), "0: a text without its closing quote");
  EXPECT_EQ(Parsed("1x"), "0: a number that is none");
  EXPECT_EQ(Parsed("1.2.3"), "0: a number that is none");
  EXPECT_THAT(Parsed("1 == sub"), HasSubstr("5: unknown name 'sub'; fields are r.NAME and p.NAME"));
  EXPECT_THAT(Parsed("r2.sub == p2.sub"), HasSubstr("0: 'r2.' is not supported"));
  EXPECT_EQ(Parsed("r.sub.Age > 18"),
            "5: r.sub has no attributes: requests and rules are made of texts");
  EXPECT_EQ(Parsed("r.== 1"), "2: expected a field's name behind 'r.', found \"==\"");
  EXPECT_EQ(Parsed("!r .sub"), "3: white space beside the dot of a field; write 'r.NAME'");
  EXPECT_EQ(Parsed("1 == p.\tsub"), "6: white space beside the dot of a field; write 'p.NAME'");
  EXPECT_EQ(Parsed("r . sub"), "2: white space beside the dot of a field; write 'r.NAME'");
  EXPECT_EQ(Parsed("in (1)"), "0: nothing stands before 'in'");
  EXPECT_THAT(Parsed("1 in ()"), HasSubstr("an empty list behind 'in'"));
  EXPECT_EQ(Parsed("r.sub in ['a', 'b']"),
            "9: a list stands in round brackets here, as in r.sub in ('ann', 'ben')");
  EXPECT_EQ(Parsed("1 in 'a'"), "5: expected '(', found the text \"a\"");
}

TEST(Expression, HasBounds) {
  const auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '(') + "1" +
           std::string(static_cast<size_t>(depth), ')');
  };
  EXPECT_EQ(Parsed(nested(kExpressionDepthMax - 1)), "1");
  EXPECT_THAT(Parsed(nested(kExpressionDepthMax)), HasSubstr("within each other"));
  EXPECT_THAT(Parsed(std::string(100'000, '!')), HasSubstr("bytes; at most"));
  EXPECT_THAT(Parsed(std::string(1'000, '!') + "1"), HasSubstr("within each other"));
  std::string chain = "1";
  for (int i = 0; i <= kExpressionDepthMax; ++i) chain += "+1";
  EXPECT_THAT(Parsed(chain), HasSubstr("within each other"));
  std::string flat = "r.a == '0'";
  for (int i = 0; i < 1000; ++i) flat += fmt::format(" || r.a == '{}'", i);
  EXPECT_THAT(Parsed(flat), HasSubstr("(== r.a '999'))"));
}

// Goal:   a chain takes time that grows with its length: a policy may have one for each rule.
// Method: so many of the longest that the square of it would take minutes.
TEST(Expression, ReadsLongChainsInOnePass) {
  std::string chain = "1";
  while (chain.size() + 3 <= kExpressionBytesMax) chain += "||1";
  Expression expression;
  ExpressionError error;
  for (int i = 0; i < 200; ++i) {
    expression = Expression();
    ASSERT_TRUE(ParseExpression(chain, expression, error)) << error.reason;
  }
  EXPECT_EQ(expression.children.size(), chain.size() / 3 + 1);
  EXPECT_EQ(expression.depth, 2);
}

}  // namespace
}  // namespace mokv::auth
