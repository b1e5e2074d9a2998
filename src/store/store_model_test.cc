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

using Model = std::map<std::string, Item>;

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

bool SameItem(const Item& a, const Item& b) {
  return a.key == b.key && a.value == b.value && a.create_revision == b.create_revision &&
         a.mod_revision == b.mod_revision && a.version == b.version && a.lease == b.lease;
}

void CheckView(const View& view, const Model& model, const std::string& from) {
  RC_ASSERT(view.size() == model.size());
  const auto cursor = view.Seek(from);
  for (auto item = model.lower_bound(from); item != model.end(); ++item, cursor->Next()) {
    RC_ASSERT(cursor->item() != nullptr);
    RC_ASSERT(SameItem(*cursor->item(), item->second));
  }
  RC_ASSERT(cursor->item() == nullptr);
}

// The store, and what it should be.
struct Pair {
  Store store;
  std::unique_ptr<Reader> reader = store.NewReader();
  Model working;
  Revision revision;
  Model published;
  Revision published_revision;
  std::vector<std::pair<std::shared_ptr<const View>, Model>> views;

  void Write(const Op& op, const std::string& key);
  void Do(const Op& op);
};

void Pair::Write(const Op& op, const std::string& key) {
  const bool is_set = op.action == Action::kSet || op.action == Action::kSetIf;
  std::optional<Revision> expected;
  const auto old = working.find(key);
  const Revision found = old == working.end() ? Revision(0) : old->second.mod_revision;
  if (op.action == Action::kSetIf || op.action == Action::kDeleteIf) {
    expected = op.number % 2 == 0 ? found : Revision(op.number);
  }
  const std::string value = fmt::format("{}", op.number);
  const ApplyResult result = is_set ? store.Apply(SetCommand{key, value, expected})
                                    : store.Apply(DeleteCommand{key, expected});
  if (expected && *expected != found) {
    RC_ASSERT(result.outcome == ApplyResult::Outcome::kConditionFailed);
    RC_ASSERT(result.found_revision == found);
  } else {
    RC_ASSERT(result.outcome == ApplyResult::Outcome::kApplied);
    const bool exists = old != working.end();
    RC_ASSERT(result.deleted == (!is_set && exists ? 1u : 0u));
    if (is_set) {
      ++revision;
      Item& item = working[key];
      item = {
          key,       value, exists ? item.create_revision : revision, revision, item.version + 1,
          LeaseId(0)};
    } else if (exists) {
      ++revision;
      working.erase(old);
    }
  }
  RC_ASSERT(result.revision == revision);
}

void Pair::Do(const Op& op) {
  const std::string key =
      fmt::format("{}{}", op.key % 3 == 0 ? "a/long/common/prefix/" : "", op.key);
  switch (op.action) {
    case Action::kSet:
    case Action::kSetIf:
    case Action::kDelete:
    case Action::kDeleteIf:
      return Write(op, key);
    case Action::kPublish:
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
      const Item* item = reader->Find(key);
      const auto expected = published.find(key);
      RC_ASSERT((item != nullptr) == (expected != published.end()));
      RC_ASSERT((item == nullptr || SameItem(*item, expected->second)));
      if (op.number % 3 == 0) reader->Leave();
      return;
    }
  }
}

RC_GTEST_PROP(StoreModel, BehavesAsAMap, ()) {
  const std::vector<Op> ops = *Ops();
  Pair pair;
  for (const Op& op : ops) pair.Do(op);
  for (const auto& [view, model] : pair.views) {
    CheckView(*view, model, "");
    CheckView(*view, model, "a/long/common/prefix/2");
  }
  CheckView(*pair.store.TakeView(), pair.published, "1");
  for (const auto& [key, item] : Model(pair.working)) pair.store.Apply(DeleteCommand{key, {}});
  pair.store.Publish();
  RC_ASSERT(pair.store.stats().keys == 0u);
  RC_ASSERT(pair.store.stats().bytes == 0u);
}

}  // namespace
}  // namespace mokv::store
