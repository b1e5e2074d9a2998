// Both indexes against std::map, with enough keys for several levels, splits and merges.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/testing/sanitizers.h"
#include "store/hash_index.h"
#include "store/ordered_index.h"

namespace mokv::store {
namespace {

constexpr uint64_t kSeed = 11;

// Three levels of nodes, and a directory that doubles more than once. Sanitizers see as much in
// fewer.
constexpr uint64_t kKeys = kSanitized ? 6'000 : 30'000;

// What keys look like decides what the heads of nodes can tell apart.
using KeyMaker = std::string (*)(uint64_t number);

std::string Decimal(uint64_t number) { return fmt::format("key-{:012}", number); }
// Ends that are prefixes of others, zero bytes, bytes above 127.
std::string Binary(uint64_t number) {
  std::string key;
  for (; number > 0; number /= 5) key.push_back("\0\1a\x80\xff"[number % 5]);
  return key + "x";
}
// Differ only behind what a head can hold, and in two families with a long common prefix each.
std::string LongPrefix(uint64_t number) {
  return std::string(number % 2 == 0 ? 200 : 60, 'p') + fmt::format("{:x}", number * 2654435761u) +
         std::string(30, 's');
}

class IndexTest : public testing::TestWithParam<KeyMaker> {
 protected:
  ~IndexTest() override {
    epochs_.Reclaim(true);
    for (auto& [key, item] : model_) heap_.Free(const_cast<Item*>(item));
  }

  const Item& NewItem(const std::string& key) {
    return *ItemAccess::Make(heap_, {key, "v", Revision(1), Revision(1), 1}, nullptr);
  }

  void Insert(const std::string& key) {
    const Item& item = NewItem(key);
    ASSERT_TRUE(model_.emplace(key, &item).second);
    hash_.Insert(hash_.Hash(key), item);
    order_.Insert(item);
    spots_[key] = order_.Locate(key);
  }

  void Replace(const std::string& key) {
    const Item& item = NewItem(key);
    const Item*& known = model_.at(key);
    hash_.Replace(hash_.Hash(key), *known, item);
    // Found long ago, and perhaps gone since.
    order_.Replace(item, spots_.at(key));
    heap_.Free(const_cast<Item*>(std::exchange(known, &item)));
  }

  void Erase(const std::string& key) {
    const Item* item = model_.at(key);
    hash_.Erase(hash_.Hash(key), *item);
    order_.Erase(key);
    model_.erase(key);
    heap_.Free(const_cast<Item*>(item));
  }

  void CheckAll() {
    OrderedIndex::Run run;
    auto expected = model_.begin();
    for (std::string from;; from = *run.high) {
      order_.ReadAt(from, run);
      for (const Item* item : run.items) {
        ASSERT_NE(expected, model_.end());
        ASSERT_EQ(item, expected->second) << item->key();
        ++expected;
      }
      if (!run.high) break;
    }
    ASSERT_EQ(expected, model_.end());
    for (const auto& [key, item] : model_) {
      ASSERT_EQ(hash_.Find(hash_.Hash(key), key), item);
    }
  }

  std::vector<std::string> ShuffledKeys(uint64_t count, SeededRandom& random) {
    std::vector<std::string> keys;
    for (uint64_t i = 0; i < count; ++i) keys.push_back(GetParam()(i));
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    for (size_t i = keys.size(); i > 1; --i) std::swap(keys[i - 1], keys[random.Next() % i]);
    return keys;
  }

  Heap heap_;
  Epochs epochs_{heap_};
  HashIndex hash_{heap_, epochs_, 0};
  OrderedIndex order_{heap_, epochs_};
  const uint64_t empty_bytes_ = heap_.used_bytes();
  std::map<std::string, const Item*> model_;
  std::map<std::string, OrderedIndex::Spot> spots_;
};

// Goal: where a key was found ahead is forgotten when its leaf is not the one any more.
TEST_P(IndexTest, SpotsEndWithTheirLeaf) {
  for (uint64_t i = 0; i < 8; ++i) Insert(GetParam()(i));
  const std::string kept = GetParam()(5);
  for (const bool erases : {true, false}) {
    SCOPED_TRACE(erases ? "Erase" : "Insert");
    spots_[kept] = order_.Locate(kept);
    if (erases) {
      Erase(GetParam()(3));
    } else {
      Insert(GetParam()(3));
    }
    Replace(kept);
    CheckAll();
  }
}

TEST_P(IndexTest, GrowsAndShrinksAsTheMapDoes) {
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  SeededRandom random(kSeed);
  const std::vector<std::string> keys = ShuffledKeys(kKeys, random);
  for (const std::string& key : keys) {
    EXPECT_EQ(hash_.Find(hash_.Hash(key), key), nullptr);
    Insert(key);
    epochs_.Reclaim(false);
  }
  CheckAll();
  // Down to a few, with comings and goings on the way, and up again.
  for (size_t i = 0; i + 100 < keys.size(); ++i) {
    Erase(keys[i]);
    if (i % 7 == 0) Insert(keys[i / 2]), Erase(keys[i / 2]);
    if (i % 5 == 0) Replace(keys[keys.size() - 1 - i % 100]);
    epochs_.Reclaim(false);
    if (i % (kKeys / 3) == 0) CheckAll();
  }
  CheckAll();
  for (size_t i = 0; i < kKeys / 6; ++i) Insert(keys[i]);
  CheckAll();
  while (!model_.empty()) Erase(std::string(model_.begin()->first));
  CheckAll();
  epochs_.Reclaim(true);
  constexpr uint64_t kAllocatorSlackBytes = 64;
  EXPECT_LE(heap_.used_bytes(), empty_bytes_ + kAllocatorSlackBytes);
}

TEST_P(IndexTest, TakesAscendingAndDescendingKeys) {
  SeededRandom random(kSeed);
  std::vector<std::string> keys = ShuffledKeys(kKeys / 3, random);
  std::sort(keys.begin(), keys.end());
  for (size_t i = keys.size() / 2; i < keys.size(); ++i) Insert(keys[i]);
  for (size_t i = keys.size() / 2; i > 0; --i) Insert(keys[i - 1]);
  CheckAll();
  // A queue: the oldest go, while new ones come at the end.
  for (size_t i = 0; i < keys.size(); ++i) {
    Erase(keys[i]);
    if (i % 1000 == 0) CheckAll();
  }
}

TEST_P(IndexTest, IsBuiltFromItemsInOrder) {
  SeededRandom random(kSeed);
  for (const uint64_t count :
       {uint64_t{0}, uint64_t{1}, uint64_t{37}, uint64_t{38}, uint64_t{3'000}, kKeys}) {
    Heap heap;
    Epochs epochs(heap);
    OrderedIndex built(heap, epochs);
    OrderedIndex::Builder builder(built);
    std::map<std::string, Item*> items;
    for (const std::string& key : ShuffledKeys(count, random)) {
      items[key] = ItemAccess::Make(heap, {key, "v", Revision(1), Revision(1), 1}, nullptr);
    }
    for (const auto& [key, item] : items) builder.Append(*item);
    builder.Finish();
    std::vector<const Item*> found;
    built.ForEach([&](const Item& item) { found.push_back(&item); });
    ASSERT_EQ(found.size(), items.size());
    size_t i = 0;
    OrderedIndex::Run run;
    for (const auto& [key, item] : items) {
      EXPECT_EQ(found[i++], item);
      built.ReadAt(key, run);
      EXPECT_NE(std::find(run.items.begin(), run.items.end(), item), run.items.end());
    }
    for (const auto& [key, item] : items) built.Erase(key), heap.Free(item);
    epochs.Reclaim(true);
    EXPECT_EQ(heap.used_bytes(), 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Keys, IndexTest, testing::Values(&Decimal, &Binary, &LongPrefix));

TEST(HashIndex, MakesRoomForWhatIsExpected) {
  Heap heap;
  Epochs epochs(heap);
  constexpr uint64_t kItems = 50'000;
  HashIndex index(heap, epochs, kItems);
  const uint64_t prepared_bytes = heap.used_bytes();
  std::vector<Item*> items;
  for (uint64_t i = 0; i < kItems; ++i) {
    const std::string key = Decimal(i);
    items.push_back(ItemAccess::Make(heap, {key, "", Revision(1), Revision(1), 1}, nullptr));
    index.Insert(index.Hash(key), *items.back());
  }
  for (uint64_t i = 0; i < kItems; ++i) {
    EXPECT_EQ(index.Find(index.Hash(Decimal(i)), Decimal(i)), items[i]);
  }
  for (Item* item : items) heap.Free(item);
  epochs.Reclaim(true);
  // A few segments got more than their share.
  EXPECT_LT(heap.used_bytes(), prepared_bytes * 11 / 10);
  EXPECT_LT(prepared_bytes, kItems * 14);
}

}  // namespace
}  // namespace mokv::store
