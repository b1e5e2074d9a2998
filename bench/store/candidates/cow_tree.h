// CowTree: a persistent B+tree alone, as a candidate for the store: an ordered map that can be
// frozen at no cost.
//
// Nodes are shared between the tree and its frozen roots, and a shared node is never written: a
// change copies the path from the root to its leaf, once in each edit epoch, and Freeze begins a
// new epoch. A node knows the prefix that all of its keys have in common and keeps the eight bytes
// that follow it in each key (the key's head), so that a search touches a key itself only at the
// end or between equal heads.
//
// Prototype: nodes are not joined after removals; one is dropped when it is empty.
// Threads:   confined to one writer. What Freeze returns is immutable.
// Order:     keys compare as unsigned bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "bench/store/candidates/item.h"
#include "bench/store/candidates/ref.h"

namespace mokv::bench {

class CowTree {
 public:
  static constexpr size_t kNodeMax = 32;

  struct Node : Counted {
    Node(bool leaf, uint64_t edit_epoch) : is_leaf(leaf), epoch(edit_epoch) {}
    Node(const Node& other, uint64_t edit_epoch);
    static void Destroy(Node* node);

    const bool is_leaf;
    uint32_t count = 0;
    const uint64_t epoch;
    // The separator from the node before, under the same parent; meaningless for the first child.
    std::string low;
    std::string prefix;
    std::array<uint64_t, kNodeMax> heads;
  };

  struct Leaf final : Node {
    explicit Leaf(uint64_t edit_epoch) : Node(true, edit_epoch) {}
    Leaf(const Leaf&, uint64_t edit_epoch);
    static constexpr size_t kFirst = 0;
    std::array<Ref<Item>, kNodeMax> slots;
  };

  // The key of a slot is its child's `low`.
  struct Inner final : Node {
    explicit Inner(uint64_t edit_epoch) : Node(false, edit_epoch) {}
    Inner(const Inner&, uint64_t edit_epoch);
    static constexpr size_t kFirst = 1;  // The first child's key does not count.
    std::array<Ref<Node>, kNodeMax> slots;
  };

  // The tree at one moment.
  class Frozen {
   public:
    Frozen() = default;
    explicit Frozen(Ref<Node> root) : root_(std::move(root)) {}
    // Null when missing.
    const Item* Find(std::string_view key) const;
    // Calls visit(item) in order from the first key that is not less than `from`, while it answers
    // true.
    template <typename Visit>
    void ForEachFrom(std::string_view from, const Visit& visit) const {
      VisitFrom(*root_, from, visit);
    }

   private:
    template <typename Visit>
    static bool VisitFrom(const Node& node, std::string_view from, const Visit& visit);
    template <typename Visit>
    static bool VisitAll(const Node& node, size_t first, const Visit& visit);

    Ref<Node> root_;
  };

  CowTree() : root_(new Leaf(epoch_)) {}

  void Put(Ref<Item> item);
  // False when there is none.
  bool Erase(std::string_view key);
  Frozen Freeze() {
    ++epoch_;
    return Frozen(root_);
  }

 private:
  // Position of the first slot whose key is not less than `key`.
  static size_t LowerBound(const Leaf& leaf, std::string_view key);
  static size_t ChildFor(const Inner& inner, std::string_view key);

  // Makes `slot`, which must be ours to write, hold a node that is ours to write.
  template <typename NodeType>
  NodeType* Own(Ref<Node>& slot);
  // The new node on the right, when there had to be one.
  Ref<Node> Insert(Ref<Node>& slot, Ref<Item> item);
  template <typename NodeType, typename Slot>
  Ref<Node> InsertAt(NodeType* node, size_t at, Slot slot);
  template <typename NodeType>
  Ref<Node> SplitOff(NodeType* node, size_t at);
  bool Remove(Ref<Node>& slot, std::string_view key);

  uint64_t epoch_ = 1;
  Ref<Node> root_;
};

template <typename Visit>
bool CowTree::Frozen::VisitAll(const Node& node, size_t first, const Visit& visit) {
  for (size_t i = first; i < node.count; ++i) {
    const bool go_on = node.is_leaf ? visit(*static_cast<const Leaf&>(node).slots[i])
                                    : VisitAll(*static_cast<const Inner&>(node).slots[i], 0, visit);
    if (!go_on) return false;
  }
  return true;
}

template <typename Visit>
bool CowTree::Frozen::VisitFrom(const Node& node, std::string_view from, const Visit& visit) {
  if (node.is_leaf) return VisitAll(node, LowerBound(static_cast<const Leaf&>(node), from), visit);
  const auto& inner = static_cast<const Inner&>(node);
  const size_t at = ChildFor(inner, from);
  return VisitFrom(*inner.slots[at], from, visit) && VisitAll(node, at + 1, visit);
}

}  // namespace mokv::bench
