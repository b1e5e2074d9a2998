// Tree: an ordered map from key to item that can be frozen at no cost: a persistent B+tree.
//
// Nodes are shared between the tree and its frozen roots, and a shared node is never written: a
// change copies the path from the root to its leaf. Copying is once a batch and not once a change:
// each node remembers the edit epoch in which it was made, Freeze begins a new epoch, and a node of
// the present epoch can be in no frozen root, so it is changed in place.
//
// Threads:   a Tree is confined to its one writer. What Freeze returned is immutable: it may be
// read
//            and dropped by any thread.
// Order:     keys compare as unsigned bytes.
// Invariant: all leaves are at one depth; separators[i] is above every key under children[i] and
//            not above any key under children[i + 1]; only the root may be an empty node. Nodes
//            are joined with a neighbour when both are small, but there is no lower bound on their
//            filling: what a strict B+tree does about that buys little in memory.
#pragma once

#include <absl/container/inlined_vector.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/ref.h"
#include "store/store.h"

namespace mokv::store {

// Immutable once it is in a tree.
struct StoredItem : RefCounted {
  explicit StoredItem(Item the_item) : item(std::move(the_item)) {}
  const Item item;
};

struct Node : RefCounted {
  Node(bool leaf, uint64_t edit_epoch) : is_leaf(leaf), epoch(edit_epoch) {}
  virtual ~Node() = default;
  const bool is_leaf;
  const uint64_t epoch;

 protected:
  Node(const Node& other, uint64_t edit_epoch) : is_leaf(other.is_leaf), epoch(edit_epoch) {}
};

// Items of a leaf and children of an inner node. Wide enough for a shallow tree, narrow enough that
// copying a path at every batch stays around a microsecond.
constexpr size_t kNodeMax = 32;

struct Leaf final : Node {
  explicit Leaf(uint64_t edit_epoch) : Node(true, edit_epoch) {}
  Leaf(const Leaf& other, uint64_t edit_epoch) : Node(other, edit_epoch), items(other.items) {}

  // Position of the first item whose key is not less than `key`.
  size_t LowerBound(std::string_view key) const;

  // One more than the limit, for the moment between an insertion and the split after it.
  absl::InlinedVector<Ref<StoredItem>, kNodeMax + 1> items;
};

struct Inner final : Node {
  explicit Inner(uint64_t edit_epoch) : Node(false, edit_epoch) {}
  Inner(const Inner& other, uint64_t edit_epoch)
      : Node(other, edit_epoch), separators(other.separators), children(other.children) {}

  // Position of the child under which `key` is, if it is anywhere.
  size_t ChildFor(std::string_view key) const;

  // Shortened as far as they still separate, so that most are stored within the string itself.
  absl::InlinedVector<std::string, kNodeMax> separators;
  absl::InlinedVector<Ref<Node>, kNodeMax + 1> children;
};

// Null when missing. The item lives as long as `root` is held.
const Item* FindItem(const Node& root, std::string_view key);

// Valid while the root is held.
class TreeCursor final : public View::Cursor {
 public:
  // At the first key that is not less than `from`.
  TreeCursor(const Node& root, std::string_view from);
  const Item* item() const override;
  void Next() override;

 private:
  struct Step {
    const Inner* inner;
    size_t child;
  };
  void EnterNextLeaf();

  std::vector<Step> path_;
  const Leaf* leaf_ = nullptr;
  size_t position_ = 0;
};

class Tree {
 public:
  Tree();
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  // Valid until the next change.
  const Item* Find(std::string_view key) const { return FindItem(*root_, key); }
  // Inserts the item, or replaces the one with its key.
  void Put(Ref<StoredItem> item);
  // False when there is none.
  bool Erase(std::string_view key);

  // The tree as it is now. Never null.
  Ref<Node> Freeze();

  // For tests: fails a check when the invariant does not hold.
  void CheckInvariant() const;

 private:
  struct Split {
    std::string separator;
    Ref<Node> right;
  };

  // Makes `slot`, which must be ours to write, hold a node that is ours to write.
  template <typename NodeType>
  NodeType* Own(Ref<Node>& slot);
  std::optional<Split> Insert(Ref<Node>& slot, Ref<StoredItem> item);
  std::optional<Split> InsertIntoLeaf(Leaf* leaf, Ref<StoredItem> item);
  Split SplitLeaf(Leaf* leaf, size_t at);
  Split SplitInner(Inner* inner);
  void Remove(Ref<Node>& slot, std::string_view key);
  void TidyChild(Inner* inner, size_t at);
  bool JoinIfSmall(Inner* inner, size_t left_at);

  uint64_t epoch_ = 1;
  Ref<Node> root_;
};

}  // namespace mokv::store
