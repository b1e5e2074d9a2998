// OrderedIndex: the keys in order. It is a B+tree whose nodes are replaced, not changed: a leaf
// that gains or loses a key is copied (half a KiB), and its parent then points to the copy. A new
// version of a key that is there only changes a pointer in its leaf. So readers walk the tree
// without locks, and a change costs the same whether or not a view is held.
//
// Threads: one writer; Read is thread-safe inside an epoch.
// Order:   keys as unsigned bytes.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/epochs.h"
#include "store/heap.h"
#include "store/item.h"
#include "store/tree_node.h"

namespace mokv::store {

class OrderedIndex {
 public:
  OrderedIndex(Heap& heap, Epochs& epochs) : heap_(heap), epochs_(epochs) {}
  // Frees its nodes, not the items.
  ~OrderedIndex();
  OrderedIndex(const OrderedIndex&) = delete;
  OrderedIndex& operator=(const OrderedIndex&) = delete;

  // The leaf that a key belongs to. Locate finds it ahead of its use and fetches it into the cache.
  // It is out of date once the index has gained or lost a key; Replace notices that.
  struct Spot {
    Leaf* leaf = nullptr;
    size_t shared_bytes = 0;  // By every key of the leaf.
    uint64_t changes = 0;     // changes_ at that time.
  };
  Spot Locate(std::string_view key) const;

  // `item`'s key must not be there yet.
  void Insert(const Item& item);
  // The key must be there. `spot`: what Locate returned for it, at any time before.
  void Replace(const Item& item, const Spot& spot);
  void Erase(std::string_view key);

  // One leaf. Its items are all those from the key that was asked for up to `high`, and perhaps
  // some before.
  struct Run {
    std::vector<const Item*> items;   // The newest versions.
    std::optional<std::string> high;  // No key of the run reaches it; nothing: it is the last run.
  };
  // The run that `key` belongs to.
  void ReadAt(std::string_view key, Run& run) const;

  // Visits every item. Writer only.
  template <typename Visit>
  void ForEach(Visit&& visit) const {
    if (const TreeNode* root = root_.load(std::memory_order_relaxed)) VisitItems(*root, visit);
  }

  // Makes an index of ascending items, an order of magnitude faster than Insert.
  class Builder;

 private:
  static constexpr size_t kLevelsMax = 32;  // With two children a node, at least.

  struct Step {
    Inner* node;
    size_t index;  // Of the child taken.
  };
  // From the root to a leaf.
  struct Path {
    std::array<Step, kLevelsMax> steps;
    size_t depth = 0;
    Leaf* leaf = nullptr;
    // The nearest separators around the leaf; where there is none, `data()` is null.
    std::string_view low;
    std::string_view high;

    size_t SharedBytes() const;
    void Descend(Inner& node, size_t index);
  };
  // Null leaf: the tree is empty.
  Path PathTo(std::string_view key) const;

  // Puts `added` in the place of `removed` children, from `first` on. `depth` counts the steps of
  // the path that lead to these children; at 0 they are the root. Splits, merges and removes nodes
  // as needed.
  void ReplaceChildren(Path& path, size_t depth, size_t first, size_t removed,
                       std::span<const Child> added);
  void SetRoot(std::span<const Child> added);
  void SplitLeaf(Path& path, size_t position, const Item& item);
  // Whether the leaf was merged with a neighbour.
  bool MergeLeaf(Path& path, const LeafList& rest);
  bool MergeInner(Path& path, size_t depth, std::span<const Child> children);
  void FreeNodes(TreeNode& node);

  template <typename Visit>
  static void VisitItems(const TreeNode& node, Visit& visit) {
    for (size_t i = 0; i < node.count; ++i) {
      if (node.level == 0) {
        visit(static_cast<const Leaf&>(node).item(i));
      } else {
        VisitItems(static_cast<const Inner&>(node).child(i), visit);
      }
    }
  }

  Heap& heap_;
  Epochs& epochs_;
  std::atomic<TreeNode*> root_{nullptr};
  uint64_t changes_ = 0;  // Counts keys added and removed: only these replace leaves.
};

// Confined to one thread.
class OrderedIndex::Builder {
 public:
  // `index` must be empty and is complete after Finish.
  explicit Builder(OrderedIndex& index) : index_(index) {}
  void Append(const Item& item);
  void Finish();

 private:
  // Leaves and inner nodes keep some room, so that the first inserts do not split them all.
  static constexpr size_t kItemsInLeaf = Leaf::kItemsMax * 9 / 10;
  static constexpr size_t kChildrenInInner = Inner::kChildrenMax * 9 / 10;

  void CloseLeaf();

  OrderedIndex& index_;
  std::vector<const Item*> leaf_;
  std::string_view last_key_;  // Of the leaf before.
  std::vector<Child> leaves_;
};

}  // namespace mokv::store
