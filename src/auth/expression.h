// Expressions: what stands in a matcher, and in the rules that eval() takes from a policy. Text in,
// a tree out; nothing is looked up yet, so a field or a function may not exist.
//
// From weakest to strongest: `||`; `&&`; `== != < <= > >= in`; `+ -`; `* /`; `! -` before an operand.
// Operands: numbers, texts in single or double quotes, true, false, r.FIELD, p.FIELD, NAME(a, ...), and
// expressions in round brackets. Behind `in` stands a list: (a, b, ...).
//
// Pure function.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

namespace mokv::auth {

struct Expression {
  enum class Kind {
    kNumber,
    kText,
    kBoolean,
    kRequestField,  // `text` is the field's name.
    kPolicyField,
    kCall,  // `text` is the function's name, `children` its arguments.
    kNot,
    kNegative,
    kOr,  // Of two or more; so is kAnd.
    kAnd,
    kEqual,
    kNotEqual,
    kLess,
    kLessOrEqual,
    kGreater,
    kGreaterOrEqual,
    kIn,  // The first child, and the list behind it.
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
  };

  Kind kind = Kind::kBoolean;
  size_t position = 0;  // In the text, in bytes from 0: of the operator, or of the operand's begin.
  double number = 0;
  bool boolean = false;
  std::string text;
  std::vector<Expression> children;
  int depth = 1;  // Levels of the tree.
};

// What is wrong with an expression, and where; whoever knows the file says it with its line.
struct ExpressionError {
  size_t position = 0;
  std::string reason;
};

// Bounds of an expression: a person's never come near, and a tree is walked by recursion.
inline constexpr size_t kExpressionBytesMax = 64 << 10;
inline constexpr int kExpressionDepthMax = 100;

// False, with `error` set, when `text` is not an expression.
bool ParseExpression(std::string_view text, Expression& expression, ExpressionError& error);

}  // namespace mokv::auth
