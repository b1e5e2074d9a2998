#include "auth/compiler.h"

#include <fmt/format.h>

#include <array>
#include <optional>

#include "base/utf8.h"

namespace mokv::auth {
namespace {

struct PatternFunction {
  std::string_view name;
  PatternKind kind = PatternKind::kRegexMatch;
};

constexpr std::array<PatternFunction, 7> kPatternFunctions = {{
    {"keyMatch2", PatternKind::kKeyMatch2},
    {"keyMatch3", PatternKind::kKeyMatch3},
    {"keyMatch4", PatternKind::kKeyMatch4},
    {"keyMatch5", PatternKind::kKeyMatch5},
    {"regexMatch", PatternKind::kRegexMatch},
    {"ipMatch", PatternKind::kIpMatch},
    {"globMatch", PatternKind::kGlobMatch},
}};
constexpr std::string_view kFunctionNames =
    "keyMatch, keyMatch2, keyMatch3, keyMatch4, keyMatch5, keyGet, keyGet2, regexMatch, ipMatch, "
    "globMatch, eval";

std::string_view NameOf(Value::Kind type) {
  switch (type) {
    case Value::Kind::kBoolean:
      return "true or false";
    case Value::Kind::kNumber:
      return "a number";
    case Value::Kind::kText:
      return "a text";
    case Value::Kind::kUnknown:
      break;
  }
  return "now one kind of value, now another";
}

Condition::Kind KindOf(Expression::Kind kind) {
  switch (kind) {
    case Expression::Kind::kNot:
      return Condition::Kind::kNot;
    case Expression::Kind::kNegative:
      return Condition::Kind::kNegative;
    case Expression::Kind::kEqual:
      return Condition::Kind::kEqual;
    case Expression::Kind::kNotEqual:
      return Condition::Kind::kNotEqual;
    case Expression::Kind::kLess:
      return Condition::Kind::kLess;
    case Expression::Kind::kLessOrEqual:
      return Condition::Kind::kLessOrEqual;
    case Expression::Kind::kGreater:
      return Condition::Kind::kGreater;
    case Expression::Kind::kGreaterOrEqual:
      return Condition::Kind::kGreaterOrEqual;
    case Expression::Kind::kIn:
      return Condition::Kind::kIn;
    case Expression::Kind::kAdd:
      return Condition::Kind::kAdd;
    case Expression::Kind::kSubtract:
      return Condition::Kind::kSubtract;
    case Expression::Kind::kMultiply:
      return Condition::Kind::kMultiply;
    default:
      return Condition::Kind::kDivide;
  }
}

bool IsArithmetic(Condition::Kind kind) {
  return kind == Condition::Kind::kAdd || kind == Condition::Kind::kSubtract ||
         kind == Condition::Kind::kMultiply || kind == Condition::Kind::kDivide ||
         kind == Condition::Kind::kNegative;
}

// Nothing is known of it but its type.
void SetUnknown(Value::Kind type, Condition& to) {
  to = Condition{.kind = Condition::Kind::kConstant, .type = type};
}

}  // namespace

bool Compiler::Compile(const Rule* rule, Condition& result, ExpressionError& error) {
  rule_ = rule;
  in_eval_ = false;
  joins_ = 0;
  const bool fine = Add(model_.matcher, true, result);
  if (!fine) error = std::move(error_);
  return fine;
}

bool Compiler::Fail(const Expression& at, std::string reason) {
  error_ = {at.position, std::move(reason)};
  return false;
}

void Compiler::SetConstant(const Value& value, Condition& to) {
  Condition constant{.kind = Kind::kConstant, .type = value.kind, .constant = value.kind};
  constant.boolean = value.boolean;
  constant.number = value.number;
  constant.text = value.text;
  if (value.kind == Value::Kind::kText) constant.id = names_.Add(value.text);
  to = std::move(constant);
}

void Compiler::Fold(Condition& condition) {
  for (const Condition& child : condition.children) {
    if (!child.IsConstant()) return;
  }
  Question nothing{.names = &names_};
  const Value value = Evaluate(condition, nothing);
  if (value.kind == Value::Kind::kUnknown) {
    SetUnknown(condition.type, condition);
  } else {
    SetConstant(value, condition);
  }
}

bool Compiler::Add(const Expression& from, bool truth_only, Condition& to) {
  if (++parts_ > parts_max_) {
    return Fail(
        from,
        fmt::format("the matcher, made ready for each of the rules so far, comes to more than {} "
                    "operators and operands; shorten it, or have fewer rules",
                    parts_max_));
  }
  if (!AddAny(from, truth_only, to)) return false;
  // To node-casbin a matcher's 1 means allow, 2 nothing and 3 deny; nobody who writes one means that.
  return !truth_only || to.type != Value::Kind::kNumber ||
         Fail(from, "a number where true or false is wanted, or a text");
}

bool Compiler::AddAny(const Expression& from, bool truth_only, Condition& to) {
  switch (from.kind) {
    case Expression::Kind::kNumber:
      SetConstant(Value::Of(from.number), to);
      return true;
    case Expression::Kind::kText:
      SetConstant(Value::Of(std::string_view(from.text)), to);
      return true;
    case Expression::Kind::kBoolean:
      SetConstant(Value::Of(from.boolean), to);
      return true;
    case Expression::Kind::kRequestField:
    case Expression::Kind::kPolicyField:
      return AddField(from, to);
    case Expression::Kind::kCall:
      return AddCall(from, truth_only, to);
    case Expression::Kind::kOr:
    case Expression::Kind::kAnd:
      return AddChain(from, truth_only, to);
    default:
      return AddOperator(from, to);
  }
}

bool Compiler::AddField(const Expression& from, Condition& to) {
  const bool request = from.kind == Expression::Kind::kRequestField;
  const std::optional<size_t> index =
      request ? model_.RequestField(from.text) : model_.PolicyField(from.text);
  if (!index.has_value()) {
    return Fail(from, fmt::format("{}.{} is not in the model's {} definition", request ? "r" : "p",
                                  from.text, request ? "request" : "policy"));
  }
  if (request) {
    to = Condition{.kind = Kind::kField, .type = Value::Kind::kText, .index = *index};
  } else if (rule_ == nullptr) {
    SetUnknown(Value::Kind::kText, to);
  } else {
    SetConstant(Value::Of(std::string_view(rule_->fields[*index])), to);
  }
  return true;
}

bool Compiler::AddChain(const Expression& from, bool truth_only, Condition& to) {
  const bool is_or = from.kind == Expression::Kind::kOr;
  to = Condition{.kind = is_or ? Kind::kOr : Kind::kAnd};
  for (const Expression& operand : from.children) {
    if (!Add(operand, truth_only, to.children.emplace_back())) return false;
  }
  to.type = to.children.front().type;
  for (const Condition& child : to.children) {
    if (child.type != to.type) to.type = Value::Kind::kUnknown;
  }
  if (!truth_only) {
    Fold(to);
    return true;
  }
  // As a condition it may be made simpler: what decides, decides, and what does not can go.
  const Truth decisive = ToTruth(is_or);
  std::vector<Condition> kept;
  for (Condition& child : to.children) {
    const Truth truth = child.IsConstant() ? TruthOf(child.Constant()) : Truth::kUnknown;
    if (truth == decisive) {
      SetConstant(Value::Of(is_or), to);
      return true;
    }
    if (truth == Truth::kUnknown) kept.push_back(std::move(child));
  }
  if (kept.empty()) {
    SetConstant(Value::Of(!is_or), to);
  } else if (kept.size() == 1) {
    Condition only = std::move(kept.front());
    to = std::move(only);
  } else {
    to.children = std::move(kept);
  }
  return true;
}

bool Compiler::AddChildren(const Expression& from, Condition& to) {
  for (const Expression& operand : from.children) {
    if (!Add(operand, false, to.children.emplace_back())) return false;
    if (to.children.back().type != Value::Kind::kUnknown) continue;
    return Fail(operand, "an operand that is now one kind of value, now another");
  }
  return true;
}

// Of two texts.
bool Compiler::CheckJoin(const Expression& from, const Condition& to) {
  const Condition& left = to.children[0];
  const Condition& right = to.children[1];
  if (!left.IsConstant() || !right.IsConstant()) {
    return ++joins_ <= kJoinsMax ||
           Fail(from, fmt::format("more than {} '+' that join texts of a request; join fewer, or "
                                  "compare the texts one by one",
                                  kJoinsMax));
  }
  const size_t size = left.text.size() + right.text.size();
  return size <= kJoinedBytesMax ||
         Fail(from, fmt::format("'+' makes a text of {} bytes; at most {} are taken", size,
                                kJoinedBytesMax));
}

bool Compiler::AddOperator(const Expression& from, Condition& to) {
  to = Condition{.kind = KindOf(from.kind), .type = Value::Kind::kBoolean};
  if (to.kind == Kind::kNot) {
    if (!Add(from.children[0], true, to.children.emplace_back())) return false;
    Fold(to);
    return true;
  }
  if (!AddChildren(from, to)) return false;
  const Value::Kind first = to.children[0].type;
  const bool ordered = to.kind >= Kind::kLess && to.kind <= Kind::kGreaterOrEqual;
  if (ordered || IsArithmetic(to.kind)) {
    for (const Condition& child : to.children) {
      if (child.type != Value::Kind::kBoolean) continue;
      return Fail(from, "true or false is neither less nor more, and no number");
    }
  }
  if (IsArithmetic(to.kind)) to.type = Value::Kind::kNumber;
  if (to.kind == Kind::kAdd && (first == Value::Kind::kText || first != to.children[1].type)) {
    to.type = Value::Kind::kText;
    if (to.children[1].type != first) {
      return Fail(from, fmt::format("'+' adds numbers or joins texts; here it has {} and {}",
                                    NameOf(first), NameOf(to.children[1].type)));
    }
    if (!CheckJoin(from, to)) return false;
  }
  Fold(to);
  return true;
}

bool Compiler::CheckTexts(const Expression& from, const Condition& to, size_t count) {
  if (from.children.size() != count) {
    return Fail(from, fmt::format("{} takes {} arguments, found {}", from.text, count,
                                  from.children.size()));
  }
  for (const Condition& child : to.children) {
    if (child.type == Value::Kind::kText) continue;
    return Fail(from, fmt::format("{} takes texts, found {}", from.text, NameOf(child.type)));
  }
  return true;
}

bool Compiler::AddCall(const Expression& from, bool truth_only, Condition& to) {
  if (from.text == "eval") return AddEval(from, truth_only, to);
  if (roles_.contains(from.text)) return AddRole(from, to);
  if (from.text == "keyMatch" || from.text == "keyGet") {
    const bool get = from.text == "keyGet";
    to = Condition{.kind = get ? Kind::kKeyGet : Kind::kKeyMatch,
                   .type = get ? Value::Kind::kText : Value::Kind::kBoolean};
    if (!AddChildren(from, to) || !CheckTexts(from, to, 2)) return false;
    Fold(to);
    return true;
  }
  if (from.text == "keyGet2") return AddPatternCall(from, PatternKind::kKeyMatch2, to);
  for (const PatternFunction& function : kPatternFunctions) {
    if (function.name == from.text) return AddPatternCall(from, function.kind, to);
  }
  std::string known(kFunctionNames);
  for (const auto& [name, roles] : roles_) known += ", " + name;
  return Fail(from, fmt::format("unknown function '{}'; there are {}", from.text, known));
}

bool Compiler::AddRole(const Expression& from, Condition& to) {
  to = Condition{.kind = Kind::kRole, .type = Value::Kind::kBoolean};
  to.roles = &roles_.at(from.text);
  const auto fields = static_cast<size_t>(model_.roles.at(from.text));
  if (!AddChildren(from, to) || !CheckTexts(from, to, fields)) return false;
  Fold(to);
  return true;
}

bool Compiler::AddPatternCall(const Expression& from, PatternKind kind, Condition& to) {
  const bool get = from.text == "keyGet2";
  to = Condition{.kind = get ? Kind::kKeyGet2 : Kind::kPattern,
                 .type = get ? Value::Kind::kText : Value::Kind::kBoolean};
  if (!AddChildren(from, to) || !CheckTexts(from, to, get ? 3 : 2)) return false;
  for (size_t i = 1; i < to.children.size(); ++i) {
    if (!to.children[i].IsConstant()) {
      return Fail(
          from.children[i],
          fmt::format("the pattern of {} comes from a request; it has to be a rule's, so that "
                      "it is compiled when the policy is loaded",
                      from.text));
    }
    if (!to.children[i].IsConstantText()) {
      SetUnknown(to.type, to);
      return true;
    }
  }
  const std::string written = to.children[1].text;
  std::shared_ptr<const Pattern>& pattern = patterns_[{kind, written}];
  std::string reason;
  if (pattern == nullptr) {
    pattern = Pattern::Compile(kind, written, reason);
    if (pattern != nullptr && pattern->is_expression() && ++expressions_ > kExpressionsMax) {
      reason = fmt::format(
          "with it there are more than {} different expressions; have rules share them, or use "
          "keyMatch, or paths without special characters",
          kExpressionsMax);
      pattern = nullptr;
    }
  }
  if (pattern == nullptr) {
    return Fail(from.children[1],
                fmt::format("pattern {} of {}: {}", Quoted(written), from.text, reason));
  }
  to.pattern = pattern;
  if (get) {
    // Which part of the path has this name; one that the pattern has not is no part.
    const std::string name = ":" + to.children[2].text;
    std::string_view part = PathPart(written, 0);
    while (!part.empty() && part != name) part = PathPart(written, ++to.index);
    if (part.empty()) {
      SetConstant(Value::Of(std::string_view()), to);
      return true;
    }
  }
  to.children.resize(1);
  Fold(to);
  return true;
}

bool Compiler::AddEval(const Expression& from, bool truth_only, Condition& to) {
  if (in_eval_) return Fail(from, "eval() within a rule that eval() takes");
  if (from.children.size() != 1 || from.children[0].kind != Expression::Kind::kPolicyField) {
    return Fail(from, "eval() takes one field of the policy, as in eval(p.rule)");
  }
  const std::string& field = from.children[0].text;
  const std::optional<size_t> index = model_.PolicyField(field);
  if (!index.has_value()) {
    return Fail(from, fmt::format("p.{} is not in the model's policy definition", field));
  }
  if (rule_ == nullptr) {
    SetUnknown(Value::Kind::kBoolean, to);
    return true;
  }
  Expression rule;
  ExpressionError error;
  in_eval_ = true;
  const bool parsed = ParseExpression(rule_->fields[*index], rule, error);
  const bool fine = parsed && Add(rule, truth_only, to);
  in_eval_ = false;
  if (fine) return true;
  if (parsed) error = std::move(error_);
  return Fail(from, fmt::format("field {}, at byte {} of the expression: {}", field,
                                error.position + 1, error.reason));
}

}  // namespace mokv::auth
