// The store against the simplest thing that could be right: a std::map that is copied whole.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "store/store.h"

namespace mokv::store {
namespace {

// An item's fields with bytes of their own.
struct Row {
  std::string key;
  std::string value;
  Revision create_revision{};
  Revision mod_revision{};
  uint64_t version = 0;

  bool Is(const Item& item) const {
    return item.key() == key && item.value() == value &&
           item.create_revision() == create_revision && item.mod_revision() == mod_revision &&
           item.version() == version && item.lease() == LeaseId(0);
  }
};

using Model = std::map<std::string, Row>;

enum class Action { kSet, kSetIf, kDelete, kDeleteIf, kPublish, kTakeView, kDropView, kRead };

struct Op {
  Action action;
  uint32_t key;     // Which key, or which view.
  uint32_t number;  // Value, or expected revision.
};

[[maybe_unused]] std::ostream& operator<<(std::ostream& out, const Op& op) {
  return out << fmt::format("{{{} {} {}}}", static_cast<int>(op.action), op.key, op.number);
}

rc::Gen<std::vector<Op>> Ops() {
  const auto action = rc::gen::weightedElement<Action>({{12, Action::kSet},
                                                        {3, Action::kSetIf},
                                                        {8, Action::kDelete},
                                                        {3, Action::kDeleteIf},
                                                        {2, Action::kPublish},
                                                        {1, Action::kTakeView},
                                                        {1, Action::kDropView},
                                                        {3, Action::kRead}});
  const auto op = rc::gen::construct<Op>(action, rc::gen::inRange<uint32_t>(0, 400),
                                         rc::gen::inRange<uint32_t>(0, 2000));
  return rc::gen::mapcat(rc::gen::inRange<size_t>(0, 2000), [op](size_t count) {
    return rc::gen::container<std::vector<Op>>(count, op);
  });
}

Digest DigestOf(const Model& model) {
  Digest digest;
  for (const auto& [key, row] : model) {
    digest.Add(
        {row.key, row.value, row.create_revision, row.mod_revision, row.version, LeaseId(0)});
  }
  return digest;
}

void CheckForward(const View& view, const Model& model, const std::string& from) {
  auto cursor = view.Seek(from);
  for (auto row = model.lower_bound(from); row != model.end(); ++row, cursor.Next()) {
    RC_ASSERT(cursor.item() != nullptr);
    RC_ASSERT(row->second.Is(*cursor.item()));
  }
  RC_ASSERT(cursor.item() == nullptr);
}

void CheckView(const View& view, const Model& model, const std::string& from) {
  RC_ASSERT(view.stats().keys == model.size());
  RC_ASSERT(view.digest() == DigestOf(model));
  CheckForward(view, model, from);
  CheckForward(view, model, from + "5");
}

// The store, and what it should be.
struct Pair {
  Store store;
  Reader reader{store};
  Model working;
  Revision revision;
  Model published;
  Revision published_revision;
  std::vector<std::pair<std::shared_ptr<const View>, Model>> views;
  uint64_t empty_bytes = (store.Reclaim(), store.memory_bytes());

  // Written in the model, but not applied yet.
  std::vector<Transaction> together;
  std::vector<ApplyResult> expected_results;

  void Write(const Op& op);
  std::optional<ApplyResult> Refusal(const Transaction& transaction) const;
  void Carry(const Transaction& transaction, ApplyResult& result);
  void ApplyTogether();
  void Do(const Op& op);
};

std::string KeyOf(uint32_t number) {
  return fmt::format("{}{}", number % 3 == 0 ? "a/long/common/prefix/" : "", number);
}

// Most are of one operation; some write neighbouring keys together.
void Pair::Write(const Op& op) {
  Transaction transaction;
  const uint32_t count = op.number % 7 == 0 ? 1 + op.number % 5 : 1;
  for (uint32_t i = 0; i < count; ++i) {
    const std::string key = KeyOf(op.key + i);
    std::optional<Revision> expected;
    if (op.action == Action::kSetIf || op.action == Action::kDeleteIf) {
      const auto old = working.find(key);
      const Revision found = old == working.end() ? Revision(0) : old->second.mod_revision;
      expected = (op.number + i) % 2 == 0 || i > 0 ? found : Revision(op.number);
    }
    const bool is_set = (op.action == Action::kSet || op.action == Action::kSetIf) != (i % 3 == 2);
    if (is_set) {
      transaction.push_back(Set{key, fmt::format("{}", op.number), expected});
    } else {
      transaction.push_back(Delete{key, expected});
    }
  }
  ApplyResult result;
  if (const auto refusal = Refusal(transaction)) {
    result = *refusal;
  } else {
    Carry(transaction, result);
  }
  result.revision = revision;
  together.push_back(std::move(transaction));
  expected_results.push_back(result);
}

std::optional<ApplyResult> Pair::Refusal(const Transaction& transaction) const {
  for (size_t i = 0; i < transaction.size(); ++i) {
    const auto expected =
        std::visit([](const auto& known) { return known.expected_revision; }, transaction[i]);
    const auto old = working.find(store::KeyOf(transaction[i]));
    const Revision found = old == working.end() ? Revision(0) : old->second.mod_revision;
    if (!expected || *expected == found) continue;
    return ApplyResult{.outcome = ApplyResult::Outcome::kConditionFailed,
                       .found_revision = found,
                       .failed_operation = i};
  }
  return std::nullopt;
}

void Pair::Carry(const Transaction& transaction, ApplyResult& result) {
  const Revision next(revision.value() + 1);
  bool changed = false;
  for (const Operation& operation : transaction) {
    if (const auto* set = std::get_if<Set>(&operation)) {
      const bool exists = working.contains(set->key);
      Row& row = working[set->key];
      row = {set->key, set->value, exists ? row.create_revision : next, next, row.version + 1};
      changed = true;
    } else if (working.erase(store::KeyOf(operation)) > 0) {
      ++result.deleted;
      changed = true;
    }
  }
  if (changed) revision = next;
}

// One alone, or all at once.
void Pair::ApplyTogether() {
  std::vector<ApplyResult> results;
  if (together.size() == 1 && together.front().size() == 1) {
    results.push_back(store.Apply(together.front().front()));
  } else {
    store.Apply(together, results);
  }
  RC_ASSERT(results == expected_results);
  together.clear();
  expected_results.clear();
}

void Pair::Do(const Op& op) {
  switch (op.action) {
    case Action::kSet:
    case Action::kSetIf:
    case Action::kDelete:
    case Action::kDeleteIf:
      Write(op);
      if (op.number % 32 == 0 || (op.number / 32) % 2 == 0) ApplyTogether();
      return;
    case Action::kPublish:
      ApplyTogether();
      store.Publish();
      published = working;
      published_revision = revision;
      return;
    case Action::kTakeView:
      views.emplace_back(store.TakeView(), published);
      RC_ASSERT(views.back().first->revision() == published_revision);
      return;
    case Action::kDropView:
      if (views.empty()) return;
      views.erase(views.begin() + static_cast<ptrdiff_t>(op.key % views.size()));
      return;
    case Action::kRead: {
      const std::string key = KeyOf(op.key);
      const Item* item = reader.Find(key);
      const auto expected = published.find(key);
      RC_ASSERT((item != nullptr) == (expected != published.end()));
      RC_ASSERT((item == nullptr || expected->second.Is(*item)));
      if (op.number % 3 == 0) reader.Leave();
      return;
    }
  }
}

RC_GTEST_PROP(StoreModel, BehavesAsAMap, ()) {
  const std::vector<Op> ops = *Ops();
  Pair pair;
  for (const Op& op : ops) pair.Do(op);
  pair.ApplyTogether();
  for (const auto& [view, model] : pair.views) {
    CheckView(*view, model, "");
    CheckView(*view, model, "a/long/common/prefix/2");
  }
  CheckView(*pair.store.TakeView(), pair.published, "1");
  for (const auto& [key, row] : pair.working) pair.store.Apply(Delete{key, {}});
  pair.store.Publish();
  RC_ASSERT(pair.store.stats().keys == 0u);
  RC_ASSERT(pair.store.stats().data_bytes == 0u);
  RC_ASSERT(pair.store.digest() == Digest{});
  for (const auto& [view, model] : pair.views) CheckView(*view, model, "");
  pair.reader.Leave();
  pair.views.clear();
  pair.store.Reclaim();
  pair.store.Reclaim();
  // What an allocator gives for the same request may differ by its smallest step.
  constexpr uint64_t kAllocatorSlackBytes = 64;
  RC_ASSERT(pair.store.memory_bytes() <= pair.empty_bytes + kAllocatorSlackBytes);
}

}  // namespace
}  // namespace mokv::store
