// Program: a model and a policy, compiled: which rules match a request?
//
// Each rule's condition becomes one conjunction or several (its alternatives, when it is an `||`). What a
// conjunction asks of a field alone, `r.x == CONSTANT` or `g(r.x, CONSTANT)`, is its key: conjunctions with
// keys of the same form are one group, and a group is looked up, not gone through. What is left is asked
// rule by rule, unless it is only that the object is a certain one or begins with a prefix: an ObjectTable
// answers that for all rules at once.
//
// Threads: immutable, so thread-safe.
// Cost:    Find parses nothing and allocates nothing (but see auth/condition.h). For each group one hash
//          look-up a field of its key; where a key asks for roles, one for each role, or one step for each
//          role that rules name there, whatever is less: never more steps than there are rules.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "auth/compiler.h"
#include "auth/condition.h"
#include "auth/effect.h"
#include "auth/model.h"
#include "auth/names.h"
#include "auth/object_table.h"
#include "auth/policy.h"
#include "auth/roles.h"

namespace mokv::auth {

class Program {
 public:
  // One way in which a rule may match: if all of its terms are true.
  struct Conjunction {
    uint32_t rank = 0;  // Of the rule (auth/effect.h).
    bool denies = false;
    // Without those that its key answers, unless they ask for the object.
    std::vector<Condition> terms;
  };

  // Errors name the model's or the policy's file and the line, as ParseModel's and ParsePolicy's do.
  static absl::StatusOr<std::unique_ptr<const Program>> Create(Model model, Policy policy);

  // The first rules that match. A rule of which one cannot say (auth/truth.h) counts if it denies.
  // One text for each of the model's request fields.
  Firsts Find(std::span<const std::string_view> request) const;

  // The conjunctions that match some object if their terms say so; the request's own is not looked at.
  std::vector<const Conjunction*> Candidates(std::span<const std::string_view> request) const;

  // The request's field "obj"; Question::kNoField if the model has none.
  size_t object_field() const { return object_field_; }

  Effect effect() const { return model_.effect; }
  const Model& model() const { return model_; }
  const Names& names() const { return names_; }
  // The rule with a rank; null when there are no rules, and for Firsts::kNone.
  const Rule* RuleAt(uint32_t rank) const {
    return rank < policy_.rules.size() ? &policy_.rules[rank] : nullptr;
  }

 private:
  // Forms of keys beyond these are asked rule by rule: each costs a look-up for every request.
  static constexpr size_t kGroupsMax = 64;

  // A part of a key: a field has a certain value, or a certain role.
  struct Key {
    size_t field = 0;
    const Roles* roles = nullptr;  // Null: the value itself.
    // The domain of the roles: a field's value if there is one, otherwise this.
    size_t domain_field = Question::kNoField;
    Names::Id domain = Roles::kNoDomain;

    bool operator==(const Key&) const = default;
  };
  struct KeyedTerm {
    Key key;
    Names::Id value = Names::kNone;
  };
  struct Step {
    Names::Id value = Names::kNone;
    uint32_t to = 0;
  };
  struct Bucket {
    Firsts always;  // Of conjunctions of which nothing is left but the key.
    ObjectTable objects;
    std::vector<uint32_t> left;          // Conjunctions of which something is left to ask.
    std::vector<uint32_t> conjunctions;  // All of them.
  };
  struct Group {
    std::vector<Key> keys;
    bool asks_for_object = false;  // Its keys do.
    // A step down by one value of one key: (node, value) to node; after the last key, to a bucket.
    absl::flat_hash_map<uint64_t, uint32_t> steps;
    // The steps down from each node whose key asks for roles: there may be fewer of them than roles.
    std::vector<std::vector<Step>> steps_of_node = {{}};
    std::vector<Bucket> buckets;
    std::vector<uint32_t> conjunctions;
  };
  using FieldIds = std::array<Names::Id, Model::kFieldsMax>;

  Program(Model model, Policy policy) : model_(std::move(model)), policy_(std::move(policy)) {}

  absl::Status AddRoles();
  absl::Status AddRules();
  absl::Status RulesNotRead() const;
  void AddRule(uint32_t rank, bool denies, Condition condition);
  void AddConjunction(uint32_t rank, bool denies, std::vector<Condition> terms);
  // `in_key`: which of the terms the key answers.
  std::vector<KeyedTerm> KeyOf(const std::vector<Condition>& terms,
                               std::vector<bool>& in_key) const;
  bool ToKeyedTerm(const Condition& term, const std::vector<Condition>& terms,
                   KeyedTerm& result) const;
  Group& GroupOf(const std::vector<KeyedTerm>& keyed);
  Bucket& BucketOf(Group& group, const std::vector<KeyedTerm>& keyed);
  bool AddToTable(const Conjunction& conjunction, Bucket& bucket) const;

  FieldIds IdsOf(std::span<const std::string_view> request) const;
  // Calls `found` with each bucket of the group that fits.
  template <typename Found>
  void Visit(const Group& group, size_t key, uint32_t node, const FieldIds& ids,
             const Found& found) const;
  void AskBucket(const Bucket& bucket, Question& question, Firsts& firsts) const;

  const Model model_;
  const Policy policy_;
  Names names_;
  std::map<std::string, Roles> roles_;
  size_t object_field_ = Question::kNoField;
  std::vector<size_t> key_fields_;  // All fields that are part of some key.
  std::vector<Conjunction> conjunctions_;
  std::vector<Group> groups_;
};

}  // namespace mokv::auth
