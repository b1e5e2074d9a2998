#include "store/store.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace mokv::store {
namespace {

using Outcome = ApplyResult::Outcome;

ApplyResult Set(Store& store, std::string key, std::string value,
                std::optional<Revision> expected = std::nullopt) {
  return store.Apply(store::Set{std::move(key), std::move(value), expected});
}

ApplyResult Delete(Store& store, std::string key, std::optional<Revision> expected = std::nullopt) {
  return store.Apply(store::Delete{std::move(key), expected});
}

// The fields of the item as the newest state has it, with an empty key when it has none.
struct Row {
  std::string key;
  std::string value;
  Revision create_revision{};
  uint64_t mod_revision = 0;
  uint64_t version = 0;
  LeaseId lease{};
};

Row PublishedRow(Store& store, std::string_view key) {
  store.Publish();
  const auto view = store.TakeView();
  const Item* item = view->Find(key);
  if (item == nullptr) return {};
  return {std::string(item->key()), std::string(item->value()),
          item->create_revision(),  item->mod_revision().value(),
          item->version(),          item->lease()};
}

TEST(Store, StartsEmptyAtRevisionZero) {
  const Store store;
  EXPECT_EQ(store.revision(), Revision(0));
  EXPECT_EQ(store.stats().keys, 0u);
  EXPECT_EQ(store.stats().data_bytes, 0u);
  EXPECT_EQ(Reader(store).Find("k"), nullptr);
  const auto view = store.TakeView();
  EXPECT_EQ(view->stats().keys, 0u);
  EXPECT_EQ(view->Seek("").item(), nullptr);
}

TEST(Store, SetCountsRevisionsAndVersions) {
  Store store;
  EXPECT_EQ(Set(store, "a", "1").revision, Revision(1));
  EXPECT_EQ(Set(store, "b", "1").revision, Revision(2));
  EXPECT_EQ(Set(store, "a", "2").revision, Revision(3));
  const Row item = PublishedRow(store, "a");
  EXPECT_EQ(item.key, "a");
  EXPECT_EQ(item.value, "2");
  EXPECT_EQ(item.create_revision, Revision(1));
  EXPECT_EQ(item.mod_revision, 3u);
  EXPECT_EQ(item.version, 2u);
  EXPECT_EQ(item.lease, LeaseId(0));
}

TEST(Store, SetAfterDeleteIsANewItem) {
  Store store;
  Set(store, "a", "1");
  Set(store, "a", "2");
  const ApplyResult deleted = Delete(store, "a");
  EXPECT_EQ(deleted.outcome, Outcome::kApplied);
  EXPECT_EQ(deleted.revision, Revision(3));
  EXPECT_EQ(deleted.deleted, 1u);
  Set(store, "a", "3");
  const Row item = PublishedRow(store, "a");
  EXPECT_EQ(item.create_revision, Revision(4));
  EXPECT_EQ(item.version, 1u);
}

TEST(Store, DeleteOfAMissingKeyChangesNothing) {
  Store store;
  Set(store, "a", "1");
  const ApplyResult result = Delete(store, "b");
  EXPECT_EQ(result.outcome, Outcome::kApplied);
  EXPECT_EQ(result.deleted, 0u);
  EXPECT_EQ(result.revision, Revision(1));
}

TEST(Store, ConditionMustHoldForASet) {
  Store store;
  EXPECT_EQ(Set(store, "a", "1", Revision(0)).outcome, Outcome::kApplied);

  const ApplyResult exists = Set(store, "a", "2", Revision(0));
  EXPECT_EQ(exists.outcome, Outcome::kConditionFailed);
  EXPECT_EQ(exists.found_revision, Revision(1));
  EXPECT_EQ(exists.revision, Revision(1));

  EXPECT_EQ(Set(store, "a", "2", Revision(1)).outcome, Outcome::kApplied);
  EXPECT_EQ(Set(store, "a", "3", Revision(1)).found_revision, Revision(2));

  const ApplyResult missing = Set(store, "b", "1", Revision(7));
  EXPECT_EQ(missing.outcome, Outcome::kConditionFailed);
  EXPECT_EQ(missing.found_revision, Revision(0));
  EXPECT_EQ(PublishedRow(store, "a").value, "2");
  EXPECT_EQ(PublishedRow(store, "b").key, "");
}

TEST(Store, ConditionMustHoldForADelete) {
  Store store;
  Set(store, "a", "1");
  const ApplyResult other = Delete(store, "a", Revision(9));
  EXPECT_EQ(other.outcome, Outcome::kConditionFailed);
  EXPECT_EQ(other.found_revision, Revision(1));
  EXPECT_EQ(other.deleted, 0u);
  EXPECT_EQ(Delete(store, "a", Revision(0)).outcome, Outcome::kConditionFailed);
  EXPECT_EQ(Delete(store, "a", Revision(1)).deleted, 1u);
  EXPECT_EQ(Delete(store, "a", Revision(1)).outcome, Outcome::kConditionFailed);
  // That the key does not exist holds, so there is nothing left to do.
  EXPECT_EQ(Delete(store, "a", Revision(0)).outcome, Outcome::kApplied);
}

TEST(Store, NothingIsSeenBeforePublish) {
  Store store;
  Reader reader(store);
  Set(store, "a", "1");
  EXPECT_EQ(reader.Find("a"), nullptr);
  EXPECT_EQ(store.TakeView()->Find("a"), nullptr);
  EXPECT_EQ(store.revision(), Revision(0));
  EXPECT_EQ(store.stats().keys, 0u);
  store.Publish();
  EXPECT_EQ(reader.Find("a")->value(), "1");
  EXPECT_EQ(store.revision(), Revision(1));
  EXPECT_EQ(store.stats().keys, 1u);
}

TEST(Store, PublishWithoutAChangeKeepsTheState) {
  Store store;
  Set(store, "a", "1");
  store.Publish();
  const auto view = store.TakeView();
  Delete(store, "missing");
  Set(store, "a", "2", Revision(9));
  store.Publish();
  EXPECT_EQ(store.TakeView()->revision(), view->revision());
  EXPECT_EQ(store.digest(), view->digest());
}

// Goal:   what a turn has found stays readable until it ends, and a later Find in the same turn
//         still sees the newest state: a read that waited for its index must not get an older one.
// Method: publish twice within one turn.
TEST(Reader, FindsTheNewestAndKeepsWhatItFound) {
  Store store;
  Reader reader(store);
  Set(store, "a", "old");
  store.Publish();
  const Item* old = reader.Find("a");
  Set(store, "a", "new");
  store.Publish();
  const Item* newer = reader.Find("a");
  Delete(store, "a");
  store.Publish();
  EXPECT_EQ(reader.Find("a"), nullptr);
  EXPECT_EQ(old->value(), "old");
  EXPECT_EQ(newer->value(), "new");
  reader.Leave();
  EXPECT_EQ(reader.Find("a"), nullptr);
}

TEST(View, StaysAsItWasAndOutlivesTheStore) {
  std::shared_ptr<const View> view;
  {
    Store store;
    Set(store, "a", "1");
    Set(store, "b", "2");
    store.Publish();
    view = store.TakeView();
    Set(store, "a", "changed");
    Delete(store, "b");
    store.Publish();
  }
  EXPECT_EQ(view->revision(), Revision(2));
  EXPECT_EQ(view->stats().keys, 2u);
  EXPECT_EQ(view->Find("a")->value(), "1");
  auto cursor = view->Seek("aa");
  EXPECT_EQ(cursor.item()->key(), "b");
  cursor.Next();
  EXPECT_EQ(cursor.item(), nullptr);
}

TEST(Stats, CountBytesAndReturnToZero) {
  Store store;
  Set(store, "key", "value");
  store.Publish();
  EXPECT_EQ(store.stats().data_bytes, 3 + 5);
  Set(store, "key", "a longer value");
  store.Publish();
  EXPECT_EQ(store.stats().data_bytes, 3 + 14);

  for (int i = 0; i < 1000; ++i) Set(store, fmt::format("key-{}", i), std::string(size_t(i), 'x'));
  store.Publish();
  EXPECT_EQ(store.stats().keys, 1001u);
  Delete(store, "key");
  for (int i = 0; i < 1000; ++i) Delete(store, fmt::format("key-{}", i));
  store.Publish();
  EXPECT_EQ(store.stats().keys, 0u);
  EXPECT_EQ(store.stats().data_bytes, 0u);
}

}  // namespace
}  // namespace mokv::store
