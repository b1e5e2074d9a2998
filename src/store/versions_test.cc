// Which older versions are kept, for whom, and that nothing else is; loading and digests.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "base/testing/sanitizers.h"
#include "store/published.h"
#include "store/store.h"
#include "store/testing/settled_bytes.h"

namespace mokv::store {
namespace {

using testing::SettledBytes;

void Set(Store& store, const std::string& key, const std::string& value) {
  store.Apply(store::Set{key, value, {}});
}

void Delete(Store& store, const std::string& key) { store.Apply(store::Delete{key, {}}); }

std::string Text(const View& view, std::string_view key) {
  const Item* item = view.Find(key);
  return item == nullptr ? "(missing)" : std::string(item->value());
}

// Goal:   each of several views keeps its own state, in whichever order they go.
// Method: every order of dropping four views, over keys that were changed, deleted and made again
//         between them.
TEST(Versions, ViewsGoInAnyOrder) {
  std::vector<int> order = {0, 1, 2, 3};
  do {
    Store store;
    std::vector<std::shared_ptr<const View>> views;
    std::vector<std::vector<std::string>> expected;
    const std::vector<std::string> keys = {"changed", "deleted", "again", "late", "kept"};
    Set(store, "kept", "always");
    const auto take = [&] {
      store.Publish();
      views.push_back(store.TakeView());
      expected.emplace_back();
      for (const std::string& key : keys) expected.back().push_back(Text(*views.back(), key));
    };
    for (const char* key : {"changed", "deleted", "again"}) Set(store, key, "first");
    take();
    Set(store, "changed", "second");
    Delete(store, "deleted");
    Delete(store, "again");
    take();
    Set(store, "changed", "third");
    Set(store, "again", "second");
    Set(store, "late", "first");
    Delete(store, "late");
    take();
    Delete(store, "changed");
    Set(store, "late", "second");
    take();
    Set(store, "changed", "last");
    Delete(store, "again");
    store.Publish();
    for (const int dropped : order) {
      views[static_cast<size_t>(dropped)].reset();
      store.Reclaim();
      for (size_t i = 0; i < views.size(); ++i) {
        if (views[i] == nullptr) continue;
        for (size_t k = 0; k < keys.size(); ++k) {
          EXPECT_EQ(Text(*views[i], keys[k]), expected[i][k]) << "view " << i << " " << keys[k];
        }
      }
    }
    for (const std::string& key : keys) Delete(store, key);
    store.Publish();
    Store empty;
    EXPECT_LE(SettledBytes(store), SettledBytes(empty) + 64);
  } while (std::next_permutation(order.begin(), order.end()));
}

// Goal: a view costs what has changed since, not what there is, and not how often it changed.
TEST(Versions, ViewKeepsOneVersionOfWhatChanged) {
  Store store;
  constexpr int kKeys = 2'000;
  const std::string value(100, 'v');
  for (int i = 0; i < kKeys; ++i) Set(store, fmt::format("key-{:06}", i), value);
  store.Publish();
  const uint64_t before = SettledBytes(store);
  auto view = store.TakeView();
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 100; ++i) Set(store, fmt::format("key-{:06}", i), value);
    store.Publish();
  }
  // A hundred old versions, and a hundred new ones with their longer headers.
  EXPECT_LT(SettledBytes(store), before + 100 * 300);
  EXPECT_GT(SettledBytes(store), before + 100 * 100);
  view.reset();
  EXPECT_LT(SettledBytes(store), before + 100 * 40);
}

// Goal: however many views there are, and in whichever order they go, each keeps its state and
//       nothing is kept for one that has gone.
TEST(Versions, ManyViewsGoInAnyOrder) {
  constexpr size_t kViews = 2'000;
  constexpr size_t kKeys = 50;
  Store store;
  const uint64_t empty = SettledBytes(store);
  SeededRandom random(5);
  std::vector<std::pair<std::shared_ptr<const View>, std::string>> views;
  const auto drop_one = [&] {
    std::swap(views[random.Next() % views.size()], views.back());
    EXPECT_EQ(Text(*views.back().first, "last"), views.back().second);
    views.pop_back();
  };
  for (size_t i = 0; i < kViews; ++i) {
    Set(store, fmt::format("key-{}", random.Next() % kKeys), "another");
    Set(store, "last", fmt::to_string(i));
    store.Publish();
    views.emplace_back(store.TakeView(), fmt::to_string(i));
    if (random.Next() % 3 == 0) drop_one();
  }
  while (!views.empty()) {
    drop_one();
    if (random.Next() % 10 == 0) store.Publish();
  }
  for (size_t i = 0; i < kKeys; ++i) Delete(store, fmt::format("key-{}", i));
  Delete(store, "last");
  store.Publish();
  EXPECT_LE(SettledBytes(store), empty + 64);
}

TEST(Versions, MemoryComesBackAfterDeletingEverything) {
  constexpr int kKeys = kThreadSanitizer ? 5'000 : 50'000;
  Store store;
  const uint64_t empty = SettledBytes(store);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < kKeys; ++i) {
      Set(store, fmt::format("key-{}", i), std::string(50, 'v'));
      if (i % 64 == 0) store.Publish();
    }
    store.Publish();
    EXPECT_EQ(store.stats().keys, static_cast<uint64_t>(kKeys));
    EXPECT_GT(store.memory_bytes(), kKeys * 60u);
    for (int i = 0; i < kKeys; ++i) {
      Delete(store, fmt::format("key-{}", (i * 7919) % kKeys));
      if (i % 64 == 0) store.Publish();
    }
    store.Publish();
    EXPECT_LE(SettledBytes(store), empty + 64);
    EXPECT_EQ(store.digest(), Digest{});
  }
}

// Goal: what the store needs besides items and indexes is counted, and comes back.
TEST(Versions, MemoryOfListsIsCounted) {
  constexpr size_t kMany = 10'000;
  Store store;
  Set(store, "key", "value");
  store.Publish();
  const uint64_t before = SettledBytes(store);
  // Changes nothing, but takes room for each operation.
  const Transaction refused(kMany, store::Set{"key", "other", Revision(77)});
  std::vector<ApplyResult> results;
  store.Apply({&refused, 1}, results);
  EXPECT_EQ(results.at(0).outcome, ApplyResult::Outcome::kConditionFailed);
  store.Publish();
  EXPECT_GT(store.memory_bytes(), before + kMany * sizeof(void*));
  EXPECT_EQ(SettledBytes(store), before);

  Heap heap;
  {
    Published published(heap);
    State& pinned = published.PinNewest();
    pinned.held.resize(kMany);
    EXPECT_GE(heap.used_bytes(), kMany * sizeof(void*));
    pinned.held.clear();
    published.Unpin(pinned);
  }
  EXPECT_EQ(heap.used_bytes(), 0u);
}

TEST(Versions, BatchMayChangeAKeyManyTimes) {
  Store store;
  Set(store, "a", "1");
  store.Publish();
  const auto view = store.TakeView();
  Reader reader(store);
  Delete(store, "a");
  Set(store, "a", "2");
  Delete(store, "a");
  Set(store, "a", "3");
  Set(store, "b", "1");
  Delete(store, "b");
  EXPECT_EQ(reader.Find("a")->value(), "1");
  store.Publish();
  EXPECT_EQ(reader.Find("a")->value(), "3");
  EXPECT_EQ(reader.Find("b"), nullptr);
  EXPECT_EQ(Text(*view, "a"), "1");
  EXPECT_EQ(Text(*view, "b"), "(missing)");
}

// Goal: the digest depends on the state alone, not on how it came about; and on all of it.
TEST(Digest, IsOfTheStateAlone) {
  Store one;
  Store other;
  Set(one, "a", "1");
  Set(one, "b", "2");
  Set(other, "a", "1");
  Set(other, "b", "2");
  one.Publish();
  one.Publish();
  other.Publish();
  EXPECT_EQ(one.digest(), other.digest());
  Set(other, "c", "3");
  other.Publish();
  EXPECT_NE(one.digest(), other.digest());
  Delete(other, "c");
  other.Publish();
  EXPECT_EQ(one.digest(), other.digest());
}

TEST(Digest, DependsOnEveryField) {
  const ItemFields item{"key", "value", Revision(3), Revision(5), 2, LeaseId(0)};
  Digest digest;
  digest.Add(item);
  std::vector<ItemFields> others(7, item);
  others[0].key = "kez";
  others[1].value = "valuf";
  others[2].create_revision = Revision(4);
  others[3].mod_revision = Revision(6);
  others[4].version = 3;
  others[5].lease = LeaseId(1);
  others[6].key = "keyv", others[6].value = "alue";
  for (const ItemFields& other : others) {
    Digest differs;
    differs.Add(other);
    EXPECT_NE(differs, digest);
  }
  digest.Remove(item);
  EXPECT_EQ(digest, Digest{});
}

TEST(BulkLoader, LoadsTheSameState) {
  Store written;
  for (int i = 0; i < 5'000; ++i) Set(written, fmt::format("key-{}", i), fmt::format("v{}", i));
  for (int i = 0; i < 5'000; i += 3) Set(written, fmt::format("key-{}", i), "changed");
  for (int i = 0; i < 5'000; i += 5) Delete(written, fmt::format("key-{}", i));
  written.Publish();
  const auto view = written.TakeView();
  for (const uint64_t expected : {uint64_t{0}, view->stats().keys, uint64_t{100'000}}) {
    BulkLoader loader(expected);
    for (auto cursor = view->Seek(""); cursor.item() != nullptr; cursor.Next()) {
      ASSERT_TRUE(loader.Add(cursor.item()->fields()).ok());
    }
    auto loaded = loader.Finish(view->revision());
    ASSERT_TRUE(loaded.ok());
    Store& store = **loaded;
    EXPECT_EQ(store.revision(), written.revision());
    EXPECT_EQ(store.digest(), written.digest());
    EXPECT_EQ(store.stats().keys, written.stats().keys);
    EXPECT_EQ(store.stats().data_bytes, written.stats().data_bytes);
    EXPECT_EQ(Reader(store).Find("key-3")->value(), "changed");
    // It goes on from there as any other.
    Set(store, "key-5", "new");
    Delete(store, "key-3");
    store.Publish();
    EXPECT_EQ(store.revision(), Revision(written.revision().value() + 2));
    EXPECT_EQ(Text(*store.TakeView(), "key-5"), "new");
    EXPECT_EQ(Text(*store.TakeView(), "key-3"), "(missing)");
  }
}

TEST(BulkLoader, RefusesWhatCannotBeAState) {
  const ItemFields item{"b", "", Revision(2), Revision(3), 1};
  const auto refused = [&](auto change) -> std::string {
    BulkLoader loader;
    EXPECT_TRUE(loader.Add(item).ok());
    ItemFields next = item;
    next.key = "c";
    change(next);
    const absl::Status status = loader.Add(next);
    return std::string(MessageOf(status));
  };
  EXPECT_EQ(refused([](ItemFields& next) { next.key = "b"; }),
            "items out of order: key \"b\" follows \"b\"");
  EXPECT_EQ(refused([](ItemFields& next) { next.key = "a"; }),
            "items out of order: key \"a\" follows \"b\"");
  EXPECT_NE(refused([](ItemFields& next) { next.version = 0; }), "");
  EXPECT_NE(refused([](ItemFields& next) { next.create_revision = Revision(4); }), "");
  BulkLoader loader;
  EXPECT_TRUE(loader.Add(item).ok());
  const auto finished = loader.Finish(Revision(2));
  EXPECT_EQ(MessageOf(finished.status()), "an item of revision 3 in a state of revision 2");
  EXPECT_NE(refused([](ItemFields& next) { next.mod_revision = Revision(uint64_t{1} << 56); }), "");
  BulkLoader beyond;
  const auto far = beyond.Finish(Revision(uint64_t{1} << 56));
  EXPECT_EQ(MessageOf(far.status()),
            "revision 72057594037927936 is above the limit of 72057594037927935");
}

TEST(Range, OverAPrefix) {
  Store store;
  for (const char* key : {"a", "b", "b/1", "b/2", "b/\xff", "b0", "c"}) Set(store, key, "");
  store.Publish();
  const auto view = store.TakeView();
  std::vector<std::string> forward;
  for (auto at = view->Seek("b/"); at.item() != nullptr && at.item()->key().starts_with("b/");
       at.Next()) {
    forward.emplace_back(at.item()->key());
  }
  EXPECT_EQ(forward, (std::vector<std::string>{"b/1", "b/2", "b/\xff"}));
}

// Goal:   a cursor goes on where it was, whatever has become of the leaf that it would go on with.
// Method: keys that the view does not see make leaves split, and by their deletion merge, while
//         cursors stand at every place.
TEST(Range, GoesOnAfterLeavesHaveMerged) {
  constexpr int kKeys = 120;
  const auto key = [](int i) { return fmt::format("k{:04}", 10 * i); };
  // Nine behind each, so that leaves are left with few.
  const auto for_unseen = [](auto&& visit) {
    for (int i = 0; i < 10 * kKeys; ++i) {
      if (i % 10 != 0) visit(fmt::format("k{:04}", i));
    }
  };
  for (int place = 0; place <= kKeys; ++place) {
    Store store;
    for (int i = 0; i < kKeys; ++i) Set(store, key(i), "");
    store.Publish();
    const auto view = store.TakeView();
    for_unseen([&](const std::string& other) { Set(store, other, ""); });
    store.Publish();
    auto cursor = view->Seek("");
    for (int i = 0; i < place; ++i) cursor.Next();
    for_unseen([&](const std::string& other) { Delete(store, other); });
    store.Publish();
    for (int i = place; i < kKeys; ++i, cursor.Next()) {
      ASSERT_NE(cursor.item(), nullptr) << place << " " << i;
      ASSERT_EQ(cursor.item()->key(), key(i));
    }
    ASSERT_EQ(cursor.item(), nullptr);
  }
}

// Goal: a cursor that has come to the end stays there.
TEST(Range, StaysAtTheEnd) {
  Store store;
  Set(store, "a", "");
  store.Publish();
  const auto view = store.TakeView();
  auto at = view->Seek("a");
  ASSERT_NE(at.item(), nullptr);
  EXPECT_EQ(at.item()->key(), "a");
  for (int i = 0; i < 3; ++i) {
    at.Next();
    EXPECT_EQ(at.item(), nullptr);
  }
}

}  // namespace
}  // namespace mokv::store
