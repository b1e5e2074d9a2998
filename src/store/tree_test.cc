#include "store/tree.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"

namespace mokv::store {
namespace {

Ref<StoredItem> MakeItem(std::string key, std::string value = "") {
  return MakeRef<StoredItem>(Item{.key = std::move(key), .value = std::move(value)});
}

std::vector<std::string> KeysFrom(const Node& root, std::string_view from) {
  std::vector<std::string> keys;
  for (TreeCursor cursor(root, from); cursor.item() != nullptr; cursor.Next()) {
    keys.push_back(cursor.item()->key);
  }
  return keys;
}

TEST(Tree, EmptyHasNothing) {
  Tree tree;
  EXPECT_EQ(tree.Find("a"), nullptr);
  EXPECT_FALSE(tree.Erase("a"));
  EXPECT_TRUE(KeysFrom(*tree.Freeze(), "").empty());
}

TEST(Tree, OrdersKeysAsUnsignedBytes) {
  Tree tree;
  const std::vector<std::string> ordered = {
      "", std::string(1, '\0'), "a", std::string("a\0", 2), "aa", "b", "\x7f", "\x80", "\xff"};
  for (auto key = ordered.rbegin(); key != ordered.rend(); ++key) tree.Put(MakeItem(*key));
  EXPECT_EQ(KeysFrom(*tree.Freeze(), ""), ordered);
}

TEST(Tree, SeekStartsAtTheFirstKeyNotLess) {
  Tree tree;
  for (int i = 0; i < 5000; ++i) tree.Put(MakeItem(fmt::format("{:05}", 2 * i)));
  const Ref<Node> root = tree.Freeze();
  for (int i = 0; i < 9999; ++i) {
    const TreeCursor cursor(*root, fmt::format("{:05}", i));
    ASSERT_EQ(cursor.item() == nullptr, i == 9999);
    ASSERT_EQ(cursor.item()->key, fmt::format("{:05}", i + i % 2));
  }
  EXPECT_EQ(TreeCursor(*root, "09999").item(), nullptr);
}

TEST(Tree, AscendingKeysFillTheLeaves) {
  Tree tree;
  constexpr int kKeys = 32 * 100;
  for (int i = 0; i < kKeys; ++i) tree.Put(MakeItem(fmt::format("{:08}", i)));
  const Ref<Node> root = tree.Freeze();
  size_t leaves = 0;
  const auto count = [&](const auto& self, const Node& node) -> void {
    if (node.is_leaf) {
      ++leaves;
    } else {
      for (const Ref<Node>& child : static_cast<const Inner&>(node).children) self(self, *child);
    }
  };
  count(count, *root);
  EXPECT_EQ(leaves, kKeys / kNodeMax);
}

TEST(Tree, FrozenRootStaysAsItWas) {
  Tree tree;
  for (int i = 0; i < 1000; ++i) tree.Put(MakeItem(fmt::format("{}", i), "old"));
  const Ref<Node> frozen = tree.Freeze();
  const std::vector<std::string> keys = KeysFrom(*frozen, "");
  for (int i = 0; i < 1000; i += 2) tree.Put(MakeItem(fmt::format("{}", i), "new"));
  for (int i = 1; i < 1000; i += 2) EXPECT_TRUE(tree.Erase(fmt::format("{}", i)));
  EXPECT_EQ(KeysFrom(*frozen, ""), keys);
  for (const std::string& key : keys) EXPECT_EQ(FindItem(*frozen, key)->value, "old");
  EXPECT_EQ(tree.Find("2")->value, "new");
  EXPECT_EQ(tree.Find("3"), nullptr);
}

TEST(Tree, ChangesInPlaceUntilFrozen) {
  Tree tree;
  const Ref<Node> first = tree.Freeze();
  tree.Put(MakeItem("a"));
  tree.Put(MakeItem("b"));
  const Ref<Node> second = tree.Freeze();
  EXPECT_NE(first.get(), second.get());
  EXPECT_FALSE(tree.Erase("missing"));
  EXPECT_EQ(tree.Freeze().get(), second.get());  // Nothing changed, so nothing was copied.
}

// Goal:   the shape holds in every kind of growth and shrinking, and ends empty.
// Method: fill and drain large trees in order, in reverse and shuffled, freezing now and then.
TEST(Tree, KeepsItsShapeWhileFilledAndDrained) {
  constexpr uint64_t kSeed = 5;
  constexpr size_t kKeys = 20'000;
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  SeededRandom random(kSeed);
  std::vector<std::string> keys;
  for (size_t i = 0; i < kKeys; ++i) {
    keys.push_back(fmt::format("prefix/of/some/length/{}", random.Next() % 1'000'000));
  }
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  const auto shuffle = [&] {
    for (size_t i = keys.size(); i > 1; --i) std::swap(keys[i - 1], keys[random.Next() % i]);
  };
  const std::vector<std::string> sorted = keys;

  for (int order = 0; order < 4; ++order) {
    SCOPED_TRACE(testing::Message() << "order " << order);
    if (order == 1) std::reverse(keys.begin(), keys.end());
    if (order >= 2) shuffle();
    Tree tree;
    Ref<Node> frozen;
    for (size_t i = 0; i < keys.size(); ++i) {
      tree.Put(MakeItem(keys[i]));
      if (i % 1000 == 0) frozen = tree.Freeze();
    }
    tree.CheckInvariant();
    ASSERT_EQ(KeysFrom(*tree.Freeze(), ""), sorted);
    if (order == 3) shuffle();
    for (size_t i = 0; i < keys.size(); ++i) {
      ASSERT_TRUE(tree.Erase(keys[i]));
      if (i % 1000 == 0) {
        frozen = tree.Freeze();
        tree.CheckInvariant();
      }
    }
    tree.CheckInvariant();
    EXPECT_TRUE(KeysFrom(*tree.Freeze(), "").empty());
    EXPECT_TRUE(tree.Freeze()->is_leaf);  // An empty tree is as flat as a new one.
  }
}

}  // namespace
}  // namespace mokv::store
