#include "auth/condition.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <system_error>
#include <utility>

#include "auth/text.h"

namespace mokv::auth {
namespace {

constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();

// Of a number in the form 0x1F, 0o17 or 0b11; 0 for another form.
int BitsOfDigit(std::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 0;
  switch (text[1]) {
    case 'x':
    case 'X':
      return 4;
    case 'o':
    case 'O':
      return 3;
    case 'b':
    case 'B':
      return 1;
    default:
      return 0;
  }
}

double ReadDigits(std::string_view digits, int bits_of_digit) {
  // More bits than a double has, and room for one more.
  constexpr uint64_t kFull = uint64_t{1} << 62;
  uint64_t number = 0;
  uint64_t rest = 0;  // Whether any bit is set that is not in `number`: it decides how to round.
  int64_t rest_bits = 0;
  if (digits.empty()) return kNotANumber;
  for (const char c : digits) {
    uint64_t digit = 0;
    const auto [after, error] = std::from_chars(&c, &c + 1, digit, 1 << bits_of_digit);
    if (error != std::errc()) return kNotANumber;
    for (int bit = bits_of_digit - 1; bit >= 0; --bit) {
      const uint64_t value = digit >> bit & 1;
      if (number < kFull) {
        number = number << 1 | value;
      } else {
        rest |= value;
        ++rest_bits;
      }
    }
  }
  constexpr int64_t kExponentMax = std::numeric_limits<double>::max_exponent;
  return std::ldexp(static_cast<double>(number | rest),
                    static_cast<int>(std::min(rest_bits, kExponentMax)));
}

// Of a decimal number that no double is near: whether it lies below all of them, or above.
bool IsTiny(std::string_view text) {
  const size_t mark = std::min(text.find_first_of("eE"), text.size());
  const std::string_view digits = text.substr(0, mark);
  const size_t point = std::min(digits.find('.'), digits.size());
  const size_t first = std::min(digits.find_first_not_of("0."), digits.size());
  int64_t exponent = 0;
  if (mark < text.size()) {
    std::string_view written = text.substr(mark + 1);
    if (written.starts_with('+')) written.remove_prefix(1);
    const auto [after, error] =
        std::from_chars(written.data(), written.data() + written.size(), exponent);
    constexpr int64_t kLarge = 1'000'000'000'000'000;  // Than which no text is longer.
    if (error != std::errc() || std::abs(exponent) > kLarge) return written.starts_with('-');
  }
  return static_cast<int64_t>(point) - static_cast<int64_t>(first) + exponent < 0;
}

double ToNumber(const Value& value) {
  switch (value.kind) {
    case Value::Kind::kBoolean:
      return value.boolean ? 1 : 0;
    case Value::Kind::kText:
      return auth::ToNumber(value.text);
    case Value::Kind::kNumber:
      return value.number;
    case Value::Kind::kUnknown:
      break;
  }
  return kNotANumber;
}

bool AreEqual(const Value& left, const Value& right) {
  if (left.kind == Value::Kind::kText && right.kind == Value::Kind::kText) {
    return left.text == right.text;
  }
  return ToNumber(left) == ToNumber(right);
}

bool Compare(Condition::Kind kind, const Value& left, const Value& right) {
  const bool texts = left.kind == Value::Kind::kText && right.kind == Value::Kind::kText;
  const double a = texts ? left.text.compare(right.text) : ToNumber(left);
  const double b = texts ? 0 : ToNumber(right);
  switch (kind) {
    case Condition::Kind::kLess:
      return a < b;
    case Condition::Kind::kLessOrEqual:
      return a <= b;
    case Condition::Kind::kGreater:
      return a > b;
    default:
      return a >= b;
  }
}

double Calculate(Condition::Kind kind, double a, double b) {
  switch (kind) {
    case Condition::Kind::kAdd:
      return a + b;
    case Condition::Kind::kSubtract:
      return a - b;
    case Condition::Kind::kMultiply:
      return a * b;
    default:
      return a / b;
  }
}

Value Join(const Value& left, const Value& right, Question& question) {
  if (left.text.size() + right.text.size() > kJoinedBytesMax) return {};
  auto joined = std::make_unique<std::string>(left.text);
  *joined += right.text;
  question.joined.push_back(std::move(joined));
  return Value::Of(std::string_view(*question.joined.back()));
}

Value EvaluateTwo(const Condition& condition, Question& question) {
  const Value left = Evaluate(condition.children[0], question);
  const Value right = Evaluate(condition.children[1], question);
  if (left.kind == Value::Kind::kUnknown || right.kind == Value::Kind::kUnknown) return {};
  switch (condition.kind) {
    case Condition::Kind::kEqual:
      return Value::Of(AreEqual(left, right));
    case Condition::Kind::kNotEqual:
      return Value::Of(!AreEqual(left, right));
    case Condition::Kind::kLess:
    case Condition::Kind::kLessOrEqual:
    case Condition::Kind::kGreater:
    case Condition::Kind::kGreaterOrEqual:
      return Value::Of(Compare(condition.kind, left, right));
    case Condition::Kind::kKeyMatch:
      return Value::Of(KeyMatch(left.text, right.text));
    case Condition::Kind::kKeyGet:
      return Value::Of(KeyGet(left.text, right.text));
    case Condition::Kind::kAdd:
      if (left.kind == Value::Kind::kText) return Join(left, right, question);
      [[fallthrough]];
    default:
      return Value::Of(Calculate(condition.kind, ToNumber(left), ToNumber(right)));
  }
}

// An element of a list is the same value, not only an equal one: "1" is not in (1).
Truth IsIn(const Condition& condition, Question& question) {
  const Value wanted = Evaluate(condition.children[0], question);
  Truth result = wanted.kind == Value::Kind::kUnknown ? Truth::kUnknown : Truth::kFalse;
  for (size_t i = 1; i < condition.children.size(); ++i) {
    const Value element = Evaluate(condition.children[i], question);
    if (element.kind == Value::Kind::kUnknown) {
      result = Truth::kUnknown;
    } else if (wanted.kind == element.kind && AreEqual(wanted, element)) {
      return Truth::kTrue;
    }
  }
  return result;
}

// Names::kNone for a text that no rule names. `known` is false when the text is not known.
Names::Id IdOf(const Condition& condition, Question& question, std::string_view& text,
               bool& known) {
  if (condition.IsConstantText()) {
    text = condition.text;
    return condition.id;
  }
  const Value value = Evaluate(condition, question);
  known = known && value.kind == Value::Kind::kText;
  text = value.text;
  return question.names->Find(value.text);
}

Truth HasRole(const Condition& condition, Question& question) {
  std::string_view member;
  std::string_view role;
  std::string_view domain;
  bool known = true;
  const Names::Id member_id = IdOf(condition.children[0], question, member, known);
  const Names::Id role_id = IdOf(condition.children[1], question, role, known);
  const Names::Id domain_id = condition.children.size() == 3
                                  ? IdOf(condition.children[2], question, domain, known)
                                  : Roles::kNoDomain;
  if (!known) return Truth::kUnknown;
  if (member == role) return Truth::kTrue;
  if (member_id == Names::kNone || role_id == Names::kNone) return Truth::kFalse;
  return ToTruth(condition.roles->Has(member_id, role_id, domain_id));
}

Truth TestAll(const Condition& condition, Question& question, Truth decisive) {
  Truth result = Not(decisive);
  for (const Condition& child : condition.children) {
    const Truth truth = Test(child, question);
    if (truth == decisive) return truth;
    if (truth == Truth::kUnknown) result = truth;
  }
  return result;
}

// The value of `a && b` is the operand that decides, as is that of `a || b`.
Value EvaluateChain(const Condition& condition, Question& question) {
  const Truth decisive = ToTruth(condition.kind == Condition::Kind::kOr);
  Value value;
  for (const Condition& child : condition.children) {
    value = Evaluate(child, question);
    if (value.kind == Value::Kind::kUnknown || TruthOf(value) == decisive) return value;
  }
  return value;
}

// The text that a field or a constant is; most terms compare two of these.
bool PlainText(const Condition& condition, const Question& question, std::string_view& text) {
  if (condition.IsConstantText()) {
    text = condition.text;
    return true;
  }
  if (condition.kind != Condition::Kind::kField || condition.index == question.unknown_field) {
    return false;
  }
  text = question.fields[condition.index];
  return true;
}

Truth IsInNetwork(const Network& network, std::string_view text, Question& question) {
  if (question.address_text != text.data() || question.address_size != text.size()) {
    question.address = ParseAddress(text);
    question.address_text = text.data();
    question.address_size = text.size();
  }
  if (!question.address.has_value()) return Truth::kUnknown;
  return ToTruth(network.Contains(*question.address));
}

Truth MatchesPattern(const Condition& condition, Question& question) {
  const Value value = Evaluate(condition.children[0], question);
  if (value.kind == Value::Kind::kUnknown) return Truth::kUnknown;
  const Pattern* const pattern = condition.pattern.get();
  if (const Network* network = pattern->network(); network != nullptr) {
    return IsInNetwork(*network, value.text, question);
  }
  // Patterns lie as far apart as the allocator puts them.
  constexpr size_t kApart = 64;
  const size_t at = reinterpret_cast<uintptr_t>(pattern) / kApart % question.matches.size();
  Question::Match& match = question.matches[at];
  // A text stays where it is until Question::DropJoined.
  if (match.pattern != pattern || match.text != value.text.data() ||
      match.size != value.text.size()) {
    match = {pattern, value.text.data(), value.text.size(), pattern->Matches(value.text)};
  }
  return match.truth;
}

}  // namespace

double ToNumber(std::string_view text) {
  text = TrimSpace(text);
  if (text.empty()) return 0;
  if (const int bits = BitsOfDigit(text); bits != 0) return ReadDigits(text.substr(2), bits);
  const bool negative = text.front() == '-';
  if (negative || text.front() == '+') text.remove_prefix(1);
  double number = 0;
  if (text == "Infinity") {
    number = std::numeric_limits<double>::infinity();
  } else {
    // std::from_chars would read a second sign, "inf" and "nan".
    if (text.empty() || !(text.front() == '.' || (text.front() >= '0' && text.front() <= '9'))) {
      return kNotANumber;
    }
    const char* const end = text.data() + text.size();
    const auto [after, error] = std::from_chars(text.data(), end, number);
    if (error == std::errc::invalid_argument || after != end) return kNotANumber;
    if (error == std::errc::result_out_of_range) {
      number = IsTiny(text) ? 0 : std::numeric_limits<double>::infinity();
    }
  }
  return negative ? -number : number;
}

void Question::DropAllJoined() {
  joined.clear();
  // Another text may come to lie where one of those was.
  matches = {};
  address_text = nullptr;
}

Value Condition::Constant() const {
  switch (constant) {
    case Value::Kind::kBoolean:
      return Value::Of(boolean);
    case Value::Kind::kNumber:
      return Value::Of(number);
    case Value::Kind::kText:
      return Value::Of(std::string_view(text));
    case Value::Kind::kUnknown:
      break;
  }
  return {};
}

Truth TruthOf(const Value& value) {
  switch (value.kind) {
    case Value::Kind::kBoolean:
      return ToTruth(value.boolean);
    case Value::Kind::kNumber:
      return ToTruth(value.number != 0 && !std::isnan(value.number));
    case Value::Kind::kText:
      return ToTruth(!value.text.empty());
    case Value::Kind::kUnknown:
      break;
  }
  return Truth::kUnknown;
}

Truth Test(const Condition& condition, Question& question) {
  switch (condition.kind) {
    case Condition::Kind::kOr:
      return TestAll(condition, question, Truth::kTrue);
    case Condition::Kind::kAnd:
      return TestAll(condition, question, Truth::kFalse);
    case Condition::Kind::kNot:
      return Not(Test(condition.children[0], question));
    case Condition::Kind::kIn:
      return IsIn(condition, question);
    case Condition::Kind::kRole:
      return HasRole(condition, question);
    case Condition::Kind::kPattern:
      return MatchesPattern(condition, question);
    case Condition::Kind::kEqual:
    case Condition::Kind::kNotEqual:
    case Condition::Kind::kKeyMatch: {
      std::string_view left;
      std::string_view right;
      if (!PlainText(condition.children[0], question, left) ||
          !PlainText(condition.children[1], question, right)) {
        return TruthOf(EvaluateTwo(condition, question));
      }
      if (condition.kind == Condition::Kind::kKeyMatch) return ToTruth(KeyMatch(left, right));
      return ToTruth((left == right) == (condition.kind == Condition::Kind::kEqual));
    }
    default:
      return TruthOf(Evaluate(condition, question));
  }
}

Value Evaluate(const Condition& condition, Question& question) {
  switch (condition.kind) {
    case Condition::Kind::kConstant:
      return condition.Constant();
    case Condition::Kind::kField:
      if (condition.index == question.unknown_field) return {};
      return Value::Of(question.fields[condition.index]);
    case Condition::Kind::kNegative: {
      const Value value = Evaluate(condition.children[0], question);
      return value.kind == Value::Kind::kUnknown ? value : Value::Of(-ToNumber(value));
    }
    case Condition::Kind::kOr:
    case Condition::Kind::kAnd:
      if (condition.type != Value::Kind::kBoolean) return EvaluateChain(condition, question);
      [[fallthrough]];
    case Condition::Kind::kNot:
    case Condition::Kind::kIn:
    case Condition::Kind::kRole:
    case Condition::Kind::kPattern:
      return Value::Of(Test(condition, question));
    case Condition::Kind::kKeyGet2: {
      const Value value = Evaluate(condition.children[0], question);
      if (value.kind == Value::Kind::kUnknown) return value;
      const Truth matches = condition.pattern->Matches(value.text);
      if (matches == Truth::kUnknown) return {};
      if (matches == Truth::kFalse) return Value::Of(std::string_view());
      const std::string_view part = PathPart(value.text, condition.index);
      // To Casbin a part that is not there is neither the empty text nor another one.
      return part.empty() ? Value() : Value::Of(part);
    }
    default:
      return EvaluateTwo(condition, question);
  }
}

}  // namespace mokv::auth
