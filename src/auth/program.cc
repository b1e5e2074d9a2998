#include "auth/program.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace mokv::auth {
namespace {

constexpr std::string_view kObjectField = "obj";

// Whether the expression asks anything of a rule.
bool UsesRules(const Expression& expression) {
  if (expression.kind == Expression::Kind::kPolicyField) return true;
  return std::any_of(expression.children.begin(), expression.children.end(), UsesRules);
}

// `r.x == CONSTANT`, either way round: the field and the constant.
bool IsFieldEquality(const Condition& term, const Condition*& field, const Condition*& constant) {
  if (term.kind != Condition::Kind::kEqual) return false;
  field = &term.children[0];
  constant = &term.children[1];
  if (field->IsConstant()) std::swap(field, constant);
  return field->kind == Condition::Kind::kField && constant->IsConstantText();
}

std::vector<Condition> Operands(Condition condition, Condition::Kind kind) {
  std::vector<Condition> result;
  if (condition.kind == kind) {
    for (Condition& child : condition.children) {
      for (Condition& operand : Operands(std::move(child), kind)) {
        result.push_back(std::move(operand));
      }
    }
  } else {
    result.push_back(std::move(condition));
  }
  return result;
}

// Of asking a term, roughly: patterns cost most, and what is in a condition adds up.
int CostOf(const Condition& condition) {
  int cost = condition.pattern != nullptr ? 10 : 1;
  for (const Condition& child : condition.children) cost += CostOf(child);
  return cost;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Program>> Program::Create(Model model, Policy policy) {
  std::unique_ptr<Program> program(new Program(std::move(model), std::move(policy)));
  program->object_field_ = program->model_.RequestField(kObjectField).value_or(Question::kNoField);
  MOKV_RETURN_IF_ERROR(program->AddRoles());
  MOKV_RETURN_IF_ERROR(program->AddRules());
  for (Group& group : program->groups_) {
    for (Bucket& bucket : group.buckets) bucket.objects.Seal();
    for (const Key& key : group.keys) {
      program->key_fields_.push_back(key.field);
      if (key.domain_field != Question::kNoField) program->key_fields_.push_back(key.domain_field);
    }
  }
  std::vector<size_t>& fields = program->key_fields_;
  std::sort(fields.begin(), fields.end());
  fields.erase(std::unique(fields.begin(), fields.end()), fields.end());
  return program;
}

absl::Status Program::AddRoles() {
  for (const auto& [kind, fields] : model_.roles) roles_[kind];
  for (const RoleRule& rule : policy_.roles) {
    const bool with_domain = model_.roles.at(rule.kind) == 3;
    roles_[rule.kind].AddLink(names_.Add(rule.member), names_.Add(rule.role),
                              with_domain ? names_.Add(rule.domain) : Roles::kNoDomain);
  }
  size_t pairs_left = Roles::kPairsMax;
  for (auto& [kind, roles] : roles_) {
    if (roles.Build(pairs_left)) continue;
    return InvalidArgument(
        "{}: with the lines {}, there are more than {} pairs of a member and a role that he has, "
        "directly or through others; give fewer roles to roles",
        policy_.name, kind, Roles::kPairsMax);
  }
  return absl::OkStatus();
}

absl::Status Program::AddRules() {
  Compiler compiler(model_, roles_, names_);
  Condition condition;
  ExpressionError error;
  // First without a rule: what is wrong now is wrong in the model.
  if (!compiler.Compile(nullptr, condition, error)) {
    return InvalidArgument("{}: at byte {} of the expression: {}",
                           model_.MatcherPlace(error.position), error.position + 1, error.reason);
  }
  if (policy_.rules.empty()) {
    // As Casbin does: the matcher is asked once, and what it says is allowed. Where it asks something of
    // a rule while there is none, one cannot say, so nothing is allowed. (Casbin takes the rule's fields
    // for empty ones, and lets in who has an empty name.)
    AddRule(0, false, std::move(condition));
    return absl::OkStatus();
  }
  if (!UsesRules(model_.matcher)) return RulesNotRead();
  for (size_t i = 0; i < policy_.rules.size(); ++i) {
    const Rule& rule = policy_.rules[i];
    condition = Condition();
    if (!compiler.Compile(&rule, condition, error)) {
      return InvalidArgument("{}:{}: {}", policy_.name, rule.line, error.reason);
    }
    AddRule(static_cast<uint32_t>(i), rule.denies, std::move(condition));
  }
  return absl::OkStatus();
}

// Casbin passes over the rules then, those that deny, too.
absl::Status Program::RulesNotRead() const {
  int line = policy_.rules.front().line;
  for (const Rule& rule : policy_.rules) line = std::min(line, rule.line);
  return InvalidArgument(
      "{}:{}: a rule that nothing asks: the matcher, {}, reads no field of rules (p.NAME), so that "
      "it would allow the same without them; have it read one, or take the rules out",
      policy_.name, line, model_.MatcherPlace(0));
}

void Program::AddRule(uint32_t rank, bool denies, Condition condition) {
  for (Condition& alternative : Operands(std::move(condition), Condition::Kind::kOr)) {
    std::vector<Condition> terms = Operands(std::move(alternative), Condition::Kind::kAnd);
    bool never = false;
    for (const Condition& term : terms) {
      never = never || (term.IsConstant() && TruthOf(term.Constant()) == Truth::kFalse);
    }
    std::erase_if(terms, [](const Condition& term) {
      return term.IsConstant() && TruthOf(term.Constant()) == Truth::kTrue;
    });
    if (!never) AddConjunction(rank, denies, std::move(terms));
  }
}

void Program::AddConjunction(uint32_t rank, bool denies, std::vector<Condition> terms) {
  std::vector<bool> in_key(terms.size(), false);
  const std::vector<KeyedTerm> keyed = KeyOf(terms, in_key);
  Group& group = GroupOf(keyed);
  const bool key_answers = !group.keys.empty() && !group.asks_for_object;
  const auto all_in_key =
      static_cast<size_t>(std::count(in_key.begin(), in_key.end(), true)) == terms.size();
  Bucket& bucket = BucketOf(group, keyed);
  const auto index = static_cast<uint32_t>(conjunctions_.size());
  bucket.conjunctions.push_back(index);
  group.conjunctions.push_back(index);
  Conjunction& added = conjunctions_.emplace_back(Conjunction{rank, denies, {}});
  for (size_t i = 0; i < terms.size(); ++i) {
    if (!key_answers || !in_key[i]) added.terms.push_back(std::move(terms[i]));
  }
  // What costs least comes first: most rules do not match, and one term shows it.
  std::stable_sort(added.terms.begin(), added.terms.end(),
                   [](const Condition& a, const Condition& b) { return CostOf(a) < CostOf(b); });
  if (added.terms.empty() || (all_in_key && !group.keys.empty())) {
    bucket.always.Add(rank, denies);
  } else if (!AddToTable(added, bucket)) {
    bucket.left.push_back(index);
  }
}

std::vector<Program::KeyedTerm> Program::KeyOf(const std::vector<Condition>& terms,
                                               std::vector<bool>& in_key) const {
  std::vector<std::pair<KeyedTerm, size_t>> found;
  for (size_t i = 0; i < terms.size(); ++i) {
    KeyedTerm term;
    if (!ToKeyedTerm(terms[i], terms, term)) continue;
    // A second term of the same form, as in `r.x == "a" && r.x == "b"`, is asked like any other.
    const bool again = std::any_of(found.begin(), found.end(),
                                   [&](const auto& other) { return other.first.key == term.key; });
    if (again) continue;
    found.emplace_back(term, i);
    in_key[i] = true;
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    const Key& left = a.first.key;
    const Key& right = b.first.key;
    return std::tie(left.field, left.roles, left.domain_field, left.domain) <
           std::tie(right.field, right.roles, right.domain_field, right.domain);
  });
  std::vector<KeyedTerm> keyed;
  for (const auto& [term, i] : found) keyed.push_back(term);
  return keyed;
}

bool Program::ToKeyedTerm(const Condition& term, const std::vector<Condition>& terms,
                          KeyedTerm& result) const {
  const Condition* field = nullptr;
  const Condition* constant = nullptr;
  if (IsFieldEquality(term, field, constant)) {
    result = {.key = {.field = field->index}, .value = constant->id};
    return field->index != object_field_;
  }
  if (term.kind != Condition::Kind::kRole || term.children[0].kind != Condition::Kind::kField ||
      !term.children[1].IsConstantText()) {
    return false;
  }
  result = {.key = {.field = term.children[0].index, .roles = term.roles},
            .value = term.children[1].id};
  if (term.children.size() == 2) return true;
  const Condition& domain = term.children[2];
  if (domain.kind == Condition::Kind::kField) {
    result.key.domain_field = domain.index;
    return true;
  }
  if (!domain.IsConstantText()) return false;
  // A domain that a field is asked for, too, is that field: one form of key for all domains.
  for (const Condition& other : terms) {
    if (IsFieldEquality(other, field, constant) && constant->id == domain.id &&
        field->index != object_field_) {
      result.key.domain_field = field->index;
      return true;
    }
  }
  result.key.domain = domain.id;
  return true;
}

Program::Group& Program::GroupOf(const std::vector<KeyedTerm>& keyed) {
  std::vector<Key> keys;
  for (const KeyedTerm& term : keyed) keys.push_back(term.key);
  const auto with = [this](const std::vector<Key>& wanted) {
    return std::find_if(groups_.begin(), groups_.end(),
                        [&](const Group& group) { return group.keys == wanted; });
  };
  auto found = with(keys);
  if (found == groups_.end() && groups_.size() >= kGroupsMax) {
    keys.clear();
    found = with(keys);
  }
  if (found != groups_.end()) return *found;
  Group& group = groups_.emplace_back();
  group.keys = std::move(keys);
  group.asks_for_object = std::any_of(group.keys.begin(), group.keys.end(), [this](const Key& key) {
    return object_field_ != Question::kNoField &&
           (key.field == object_field_ || key.domain_field == object_field_);
  });
  return group;
}

Program::Bucket& Program::BucketOf(Group& group, const std::vector<KeyedTerm>& keyed) {
  if (group.keys.empty()) {
    if (group.buckets.empty()) group.buckets.emplace_back();
    return group.buckets.front();
  }
  uint32_t node = 0;
  for (size_t i = 0; i < group.keys.size(); ++i) {
    const bool last = i + 1 == group.keys.size();
    const uint64_t step = uint64_t{node} << 32 | keyed[i].value;
    const size_t next = last ? group.buckets.size() : group.steps_of_node.size();
    const auto [found, added] = group.steps.try_emplace(step, static_cast<uint32_t>(next));
    if (added) {
      if (group.keys[i].roles != nullptr) {
        group.steps_of_node[node].push_back({keyed[i].value, found->second});
      }
      if (last) {
        group.buckets.emplace_back();
      } else {
        group.steps_of_node.emplace_back();
      }
    }
    node = found->second;
  }
  return group.buckets[node];
}

bool Program::AddToTable(const Conjunction& conjunction, Bucket& bucket) const {
  if (conjunction.terms.size() != 1) return false;
  const Condition& term = conjunction.terms.front();
  const uint32_t rank = conjunction.rank;
  const bool denies = conjunction.denies;
  const Condition* field = nullptr;
  const Condition* constant = nullptr;
  if (IsFieldEquality(term, field, constant)) {
    if (field->index != object_field_) return false;
    bucket.objects.AddExact(names_.TextOf(constant->id), rank, denies);
    return true;
  }
  if (term.kind != Condition::Kind::kKeyMatch) return false;
  field = &term.children[0];
  constant = &term.children[1];
  if (field->kind != Condition::Kind::kField || field->index != object_field_ ||
      !constant->IsConstantText()) {
    return false;
  }
  const std::string_view pattern = names_.TextOf(constant->id);
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) {
    bucket.objects.AddExact(pattern, rank, denies);
  } else if (star == 0) {
    bucket.always.Add(rank, denies);
  } else {
    bucket.objects.AddPrefix(pattern.substr(0, star), rank, denies);
  }
  return true;
}

Program::FieldIds Program::IdsOf(std::span<const std::string_view> request) const {
  MOKV_CHECK_EQ(request.size(), model_.request_fields.size());
  FieldIds ids;
  for (const size_t field : key_fields_) ids[field] = names_.Find(request[field]);
  return ids;
}

template <typename Found>
void Program::Visit(const Group& group, size_t key, uint32_t node, const FieldIds& ids,
                    const Found& found) const {
  if (key == group.keys.size()) {
    found(group.buckets[node]);
    return;
  }
  const Key& wanted = group.keys[key];
  const Names::Id& id = ids[wanted.field];
  if (id == Names::kNone) return;  // No rule names it.
  const auto step = [&](Names::Id value) {
    const auto next = group.steps.find(uint64_t{node} << 32 | value);
    if (next != group.steps.end()) Visit(group, key + 1, next->second, ids, found);
  };
  if (wanted.roles == nullptr) {
    step(id);
    return;
  }
  const Names::Id domain =
      wanted.domain_field == Question::kNoField ? wanted.domain : ids[wanted.domain_field];
  const std::span<const Names::Id> roles = wanted.roles->RolesOf(id, domain);
  const std::vector<Step>& steps = group.steps_of_node[node];
  if (roles.size() <= steps.size()) {
    for (const Names::Id role : roles) step(role);
    return;
  }
  for (const Step& down : steps) {
    if (Roles::IsIn(roles, down.value)) Visit(group, key + 1, down.to, ids, found);
  }
}

void Program::AskBucket(const Bucket& bucket, Question& question, Firsts& firsts) const {
  firsts.Merge(bucket.always);
  if (object_field_ != Question::kNoField) {
    firsts.Merge(bucket.objects.Find(question.fields[object_field_]));
  }
  for (const uint32_t index : bucket.left) {
    const Conjunction& conjunction = conjunctions_[index];
    // One that comes later than one that matches would change nothing.
    if (conjunction.rank > (conjunction.denies ? firsts.deny : firsts.allow)) continue;
    Truth truth = Truth::kTrue;
    for (const Condition& term : conjunction.terms) {
      const Truth of_term = Test(term, question);
      if (of_term == Truth::kTrue) continue;
      truth = of_term;
      if (of_term == Truth::kFalse) break;
    }
    const bool counts = truth == Truth::kTrue || (truth == Truth::kUnknown && conjunction.denies);
    if (counts) firsts.Add(conjunction.rank, conjunction.denies);
    question.DropJoined();
  }
}

Firsts Program::Find(std::span<const std::string_view> request) const {
  const FieldIds ids = IdsOf(request);
  Question question{.fields = request, .names = &names_};
  Firsts firsts;
  for (const Group& group : groups_) {
    Visit(group, 0, 0, ids, [&](const Bucket& bucket) { AskBucket(bucket, question, firsts); });
  }
  return firsts;
}

std::vector<const Program::Conjunction*> Program::Candidates(
    std::span<const std::string_view> request) const {
  const FieldIds ids = IdsOf(request);
  std::vector<const Conjunction*> result;
  const auto add = [&](const std::vector<uint32_t>& indexes) {
    for (const uint32_t index : indexes) result.push_back(&conjunctions_[index]);
  };
  for (const Group& group : groups_) {
    if (group.asks_for_object) {
      add(group.conjunctions);
    } else {
      Visit(group, 0, 0, ids, [&](const Bucket& bucket) { add(bucket.conjunctions); });
    }
  }
  return result;
}

}  // namespace mokv::auth
