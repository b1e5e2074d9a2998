// Condition: a matcher made ready for one rule. The rule's fields are constants in it, functions are
// resolved, patterns compiled, and what does not depend on a request is worked out.
//
// Values are compared as JavaScript's `==` and `<` do, since node-casbin is the engine to agree with:
// two texts byte by byte, a text and a number as numbers.
//
// Threads: immutable. Evaluation allocates nothing, unless the condition joins texts of a request.
// Bounds:  a text of a request, joined, that is longer than kJoinedBytesMax is not known; a condition
//          joins so at most kJoinsMax times (auth/compiler.h), and what it joined goes with it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "auth/address.h"
#include "auth/names.h"
#include "auth/pattern.h"
#include "auth/roles.h"
#include "auth/truth.h"

namespace mokv::auth {

// A key of the greatest length three times, and more. Longer texts would cost a decision time and memory
// that the one who asks chooses.
inline constexpr size_t kJoinedBytesMax = 16 << 10;

struct Value {
  enum class Kind : uint8_t { kUnknown, kBoolean, kNumber, kText };
  Kind kind = Kind::kUnknown;
  bool boolean = false;
  double number = 0;
  std::string_view text;

  static Value Of(bool boolean) { return {.kind = Kind::kBoolean, .boolean = boolean}; }
  static Value Of(double number) { return {.kind = Kind::kNumber, .number = number}; }
  static Value Of(std::string_view text) { return {.kind = Kind::kText, .text = text}; }
  static Value Of(Truth truth) {
    return truth == Truth::kUnknown ? Value() : Of(truth == Truth::kTrue);
  }
};

// What a condition is asked about. On the caller's stack, for one decision.
struct Question {
  static constexpr size_t kNoField = SIZE_MAX;

  std::span<const std::string_view> fields;
  const Names* names = nullptr;
  size_t unknown_field = kNoField;                   // Of this field's value nothing is known.
  std::vector<std::unique_ptr<std::string>> joined;  // Texts made for a rule.

  // What patterns said of texts: many rules have the same pattern, or are all about the same address.
  struct Match {
    const Pattern* pattern = nullptr;
    const char* text = nullptr;
    size_t size = 0;
    Truth truth = Truth::kFalse;
  };
  std::array<Match, 4> matches = {};
  const char* address_text = nullptr;
  size_t address_size = 0;
  std::optional<Address> address;

  // Called between two rules: otherwise the texts of all rules would lie in memory at once.
  void DropJoined() {
    if (!joined.empty()) [[unlikely]]
      DropAllJoined();
  }
  void DropAllJoined();
};

struct Condition {
  enum class Kind : uint8_t {
    kConstant,
    kField,
    kNot,
    kNegative,
    kOr,
    kAnd,
    kEqual,
    kNotEqual,
    kLess,
    kLessOrEqual,
    kGreater,
    kGreaterOrEqual,
    kIn,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kKeyMatch,
    kKeyGet,
    kKeyGet2,  // Part `index` of a path that matches `pattern`.
    kPattern,
    kRole,  // Member, role, and domain if there is one.
  };

  Kind kind = Kind::kConstant;
  // What comes out. kUnknown: it depends on the request of which kind, so only its truth counts.
  Value::Kind type = Value::Kind::kUnknown;
  Value::Kind constant = Value::Kind::kUnknown;
  bool boolean = false;
  double number = 0;
  std::string text;             // A constant.
  Names::Id id = Names::kNone;  // Of a constant text.
  size_t index = 0;             // A request's field, or the part of a path.
  std::shared_ptr<const Pattern> pattern;
  const Roles* roles = nullptr;
  std::vector<Condition> children;

  bool IsConstant() const { return kind == Kind::kConstant; }
  bool IsConstantText() const { return IsConstant() && constant == Value::Kind::kText; }
  Value Constant() const;
};

// As a condition: false, 0, a number that is none, and the empty text are not true.
Truth TruthOf(const Value& value);

Truth Test(const Condition& condition, Question& question);
Value Evaluate(const Condition& condition, Question& question);

// A text as a number, as JavaScript reads it; NaN when it is none.
double ToNumber(std::string_view text);

}  // namespace mokv::auth
