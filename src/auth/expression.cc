#include "auth/expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "auth/lexer.h"
#include "base/utf8.h"

namespace mokv::auth {
namespace {

using Kind = Expression::Kind;

struct BinaryOperator {
  std::string_view word;
  int strength = 0;
  Kind kind = Kind::kOr;
};

constexpr std::array<BinaryOperator, 13> kBinaryOperators = {{
    {"||", 1, Kind::kOr},
    {"&&", 2, Kind::kAnd},
    {"==", 3, Kind::kEqual},
    {"!=", 3, Kind::kNotEqual},
    {"<", 3, Kind::kLess},
    {"<=", 3, Kind::kLessOrEqual},
    {">", 3, Kind::kGreater},
    {">=", 3, Kind::kGreaterOrEqual},
    {"in", 3, Kind::kIn},
    {"+", 4, Kind::kAdd},
    {"-", 4, Kind::kSubtract},
    {"*", 5, Kind::kMultiply},
    {"/", 5, Kind::kDivide},
}};

// One step down the grammar a function; each reads from `token_` on and leaves it after what it read.
class Parser {
 public:
  Parser(std::string_view text, ExpressionError& error) : lexer_(text), error_(error) {}

  bool Parse(Expression& expression) {
    if (!Advance() || !ParseBinary(1, expression)) return false;
    if (token_.kind == Token::Kind::kEnd) return true;
    return Fail(fmt::format("expected an operator or the end, found {}", Shown()));
  }

 private:
  bool Fail(std::string reason) {
    error_ = {token_.position, std::move(reason)};
    return false;
  }

  bool Advance() {
    std::string reason;
    return lexer_.Next(token_, reason) || Fail(std::move(reason));
  }

  bool IsOperator(std::string_view word) const {
    return token_.kind == Token::Kind::kOperator && token_.word == word;
  }

  std::string Shown() const {
    if (token_.kind == Token::Kind::kEnd) return "the end";
    if (token_.kind == Token::Kind::kText) return fmt::format("the text {}", Quoted(token_.text));
    if (token_.kind == Token::Kind::kNumber) return fmt::format("the number {}", token_.number);
    return Quoted(token_.word);
  }

  bool Expect(std::string_view word) {
    if (!IsOperator(word)) return Fail(fmt::format("expected '{}', found {}", word, Shown()));
    return Advance();
  }

  const BinaryOperator* FindOperator() const {
    if (token_.kind != Token::Kind::kOperator && token_.kind != Token::Kind::kName) return nullptr;
    for (const BinaryOperator& known : kBinaryOperators) {
      if (known.word == token_.word) return &known;
    }
    return nullptr;
  }

  // Operators of the same strength are taken from left to right. A chain of `&&`, or of `||`, is one
  // node of many children: people write long ones.
  bool ParseBinary(int weakest, Expression& result) {
    if (!ParseUnary(result)) return false;
    while (true) {
      const BinaryOperator* const found = FindOperator();
      if (found == nullptr || found->strength < weakest) return true;
      const bool is_chain = found->kind == Kind::kOr || found->kind == Kind::kAnd;
      if (!is_chain || result.kind != found->kind) {
        Expression joined{.kind = found->kind, .position = token_.position};
        joined.depth = result.depth + 1;
        joined.children.push_back(std::move(result));
        result = std::move(joined);
      }
      if (!Advance()) return false;
      if (found->kind == Kind::kIn) {
        if (!ParseList(result.children)) return false;
        if (result.children.size() == 1) return Fail("an empty list behind 'in'");
        if (!Measure(result)) return false;
      } else if (!ParseBinary(found->strength + 1, result.children.emplace_back()) ||
                 !MeasureLast(result)) {
        return false;
      }
    }
  }

  // Called once the children are known.
  bool Measure(Expression& expression) {
    for (const Expression& child : expression.children) {
      expression.depth = std::max(expression.depth, child.depth + 1);
    }
    return expression.depth <= kExpressionDepthMax || FailTooDeep();
  }

  // When the others are measured: a chain may be long.
  bool MeasureLast(Expression& expression) {
    expression.depth = std::max(expression.depth, expression.children.back().depth + 1);
    return expression.depth <= kExpressionDepthMax || FailTooDeep();
  }

  bool FailTooDeep() {
    return Fail(
        fmt::format("more than {} operators or brackets within each other", kExpressionDepthMax));
  }

  bool ParseUnary(Expression& result) {
    if (++depth_ > kExpressionDepthMax) return FailTooDeep();
    bool fine = false;
    if (IsOperator("!") || IsOperator("-")) {
      result.kind = IsOperator("!") ? Kind::kNot : Kind::kNegative;
      result.position = token_.position;
      fine = Advance() && ParseUnary(result.children.emplace_back()) && Measure(result);
    } else {
      fine = ParseOperand(result);
    }
    --depth_;
    return fine;
  }

  bool ParseOperand(Expression& result) {
    if (IsOperator("(")) return Advance() && ParseBinary(1, result) && Expect(")");
    result.position = token_.position;
    switch (token_.kind) {
      case Token::Kind::kNumber:
        result.kind = Kind::kNumber;
        result.number = token_.number;
        return Advance();
      case Token::Kind::kText:
        result.kind = Kind::kText;
        result.text = std::move(token_.text);
        return Advance();
      case Token::Kind::kName:
        return ParseName(result);
      case Token::Kind::kOperator:
      case Token::Kind::kEnd:
        break;
    }
    return Fail(fmt::format("expected a field, a value or a function, found {}", Shown()));
  }

  bool ParseName(Expression& result) {
    const std::string name(token_.word);
    if (name == "in") return Fail("nothing stands before 'in'");
    if (!Advance()) return false;
    if (name == "true" || name == "false") {
      result.kind = Kind::kBoolean;
      result.boolean = name == "true";
      return true;
    }
    if (IsOperator("(")) {
      result.kind = Kind::kCall;
      result.text = name;
      return ParseList(result.children) && Measure(result);
    }
    if (IsOperator(".")) return ParseField(name, result);
    error_ = {result.position,
              fmt::format("unknown name '{}'; fields are r.NAME and p.NAME, texts stand in quotes",
                          name)};
    return false;
  }

  bool ParseField(const std::string& side, Expression& result) {
    if (side != "r" && side != "p") {
      error_ = {result.position,
                fmt::format("'{}.' is not supported: fields are r.NAME and p.NAME", side)};
      return false;
    }
    const size_t dot = token_.position;
    if (!Advance()) return false;
    // Casbin looks for the text "r." in matchers, and finds no field otherwise.
    if (dot != result.position + side.size() || token_.position != dot + 1) {
      error_ = {dot, fmt::format("white space beside the dot of a field; write '{}.NAME'", side)};
      return false;
    }
    if (token_.kind != Token::Kind::kName) {
      return Fail(fmt::format("expected a field's name behind '{}.', found {}", side, Shown()));
    }
    result.kind = side == "r" ? Kind::kRequestField : Kind::kPolicyField;
    result.text = token_.word;
    if (!Advance()) return false;
    if (!IsOperator(".")) return true;
    return Fail(fmt::format("{}.{} has no attributes: requests and rules are made of texts", side,
                            result.text));
  }

  // "(a, b)", appended to `children`.
  bool ParseList(std::vector<Expression>& children) {
    if (!Expect("(")) return false;
    if (IsOperator(")")) return Advance();
    while (true) {
      if (!ParseBinary(1, children.emplace_back())) return false;
      if (!IsOperator(",")) return Expect(")");
      if (!Advance()) return false;
    }
  }

  Lexer lexer_;
  ExpressionError& error_;
  Token token_;
  int depth_ = 0;
};

}  // namespace

bool ParseExpression(std::string_view text, Expression& expression, ExpressionError& error) {
  if (text.size() > kExpressionBytesMax) {
    error = {0, fmt::format("an expression of {} bytes; at most {} are allowed", text.size(),
                            kExpressionBytesMax)};
    return false;
  }
  return Parser(text, error).Parse(expression);
}

}  // namespace mokv::auth
