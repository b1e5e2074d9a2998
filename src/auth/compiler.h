// Compiler: makes a condition of a model's matcher for each rule of a policy (auth/condition.h).
//
// Threads: confined. The conditions keep pointers to the roles.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "auth/condition.h"
#include "auth/expression.h"
#include "auth/model.h"
#include "auth/names.h"
#include "auth/policy.h"
#include "auth/roles.h"

namespace mokv::auth {

class Compiler {
 public:
  // Operators and operands of all conditions that one compiler makes. Each rule has the whole matcher, so
  // their number is a product; one costs some 150 bytes: a GiB in the end. The shipped matcher has ten.
  static constexpr size_t kPartsMax = 8 << 20;

  // So often may the condition of a rule join texts of which one is a request's: each time is a copy of up
  // to kJoinedBytesMax bytes for a decision.
  static constexpr size_t kJoinsMax = 64;

  // Expressions of a model and its policy for RE2, each text once: what they take of memory in the end is
  // this times kRegexMemoryMax, a GiB. Paths, prefixes and globs are none, unless there is more in
  // them than names and a rest.
  static constexpr size_t kExpressionsMax = 4'096;

  // All of them outlive the compiler, and the roles its conditions.
  Compiler(const Model& model, const std::map<std::string, Roles>& roles, Names& names,
           size_t parts_max = kPartsMax)
      : model_(model), roles_(roles), names_(names), parts_max_(parts_max) {}

  // The matcher for `rule`; null for one whose fields are not known. False, with an error whose position
  // is one in the matcher, when there is something in it that does not exist or does not fit, or when
  // there are too many parts.
  bool Compile(const Rule* rule, Condition& result, ExpressionError& error);

 private:
  using Kind = Condition::Kind;

  // `truth_only`: nobody looks at more of the result than whether it is true.
  bool Add(const Expression& from, bool truth_only, Condition& to);
  bool AddAny(const Expression& from, bool truth_only, Condition& to);
  bool AddField(const Expression& from, Condition& to);
  bool AddChain(const Expression& from, bool truth_only, Condition& to);
  bool AddOperator(const Expression& from, Condition& to);
  bool CheckJoin(const Expression& from, const Condition& to);
  bool AddChildren(const Expression& from, Condition& to);
  bool AddCall(const Expression& from, bool truth_only, Condition& to);
  bool AddRole(const Expression& from, Condition& to);
  bool AddPatternCall(const Expression& from, PatternKind kind, Condition& to);
  bool AddEval(const Expression& from, bool truth_only, Condition& to);
  bool CheckTexts(const Expression& from, const Condition& to, size_t count);
  // Works out what does not depend on the request.
  void Fold(Condition& condition);
  void SetConstant(const Value& value, Condition& to);
  bool Fail(const Expression& at, std::string reason);

  const Model& model_;
  const std::map<std::string, Roles>& roles_;
  Names& names_;
  // Rules that have a pattern in common have one pattern.
  std::map<std::pair<PatternKind, std::string>, std::shared_ptr<const Pattern>> patterns_;

  size_t expressions_ = 0;

  const size_t parts_max_;
  size_t parts_ = 0;

  // Of the call of Compile.
  const Rule* rule_ = nullptr;
  bool in_eval_ = false;
  size_t joins_ = 0;
  ExpressionError error_;
};

}  // namespace mokv::auth
