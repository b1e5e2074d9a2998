#include "bench/store/candidates/cow_tree.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace mokv::bench {
namespace {

using Node = CowTree::Node;
using Leaf = CowTree::Leaf;
using Inner = CowTree::Inner;

std::string_view KeyOf(const Ref<Item>& item) { return item->key(); }
std::string_view KeyOf(const Ref<Node>& child) { return child->low; }

// Eight bytes of the key from `skip` on, as a number that orders as they do. A key that ends
// earlier looks as if zeros followed; equal heads therefore do not mean equal keys.
uint64_t HeadOf(std::string_view key, size_t skip) {
  uint64_t head = 0;
  const size_t size = key.size() > skip ? std::min<size_t>(key.size() - skip, 8) : 0;
  if (size > 0) std::memcpy(&head, key.data() + skip, size);
  return __builtin_bswap64(head);
}

size_t CommonPrefix(std::string_view a, std::string_view b) {
  const auto differ = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<size_t>(differ.first - a.begin());
}

// Position of the first slot whose key is not less than `key`, or above it if `after_equal`.
template <bool after_equal, typename NodeType>
size_t Bound(const NodeType& node, std::string_view key) {
  const int order = key.substr(0, node.prefix.size()).compare(node.prefix);
  if (order != 0) return order < 0 ? NodeType::kFirst : node.count;
  const uint64_t head = HeadOf(key, node.prefix.size());
  const uint64_t* const heads = node.heads.data();
  const uint64_t* at = std::lower_bound(heads + NodeType::kFirst, heads + node.count, head);
  if (at == heads + node.count || *at != head) return static_cast<size_t>(at - heads);
  const uint64_t* const end = std::upper_bound(at, heads + node.count, head);
  at = std::partition_point(at, end, [&](const uint64_t& slot_head) {
    const std::string_view slot_key = KeyOf(node.slots[static_cast<size_t>(&slot_head - heads)]);
    return after_equal ? slot_key <= key : slot_key < key;
  });
  return static_cast<size_t>(at - heads);
}

// Sets the prefix to its first `size` bytes of a key, and the heads to what follows.
template <typename NodeType>
void SetPrefix(NodeType* node, std::string_view prefix) {
  node->prefix = prefix;
  for (size_t i = NodeType::kFirst; i < node->count; ++i) {
    node->heads[i] = HeadOf(KeyOf(node->slots[i]), prefix.size());
  }
}

// The longest prefix there is: what the first and the last key have in common.
template <typename NodeType>
void FindPrefix(NodeType* node) {
  if (node->count <= NodeType::kFirst) return SetPrefix(node, "");
  const std::string_view first = KeyOf(node->slots[NodeType::kFirst]);
  SetPrefix(node, first.substr(0, CommonPrefix(first, KeyOf(node->slots[node->count - 1]))));
}

template <typename NodeType>
void RemoveAt(NodeType* node, size_t at) {
  for (size_t i = at + 1; i < node->count; ++i) {
    node->slots[i - 1] = std::move(node->slots[i]);
    node->heads[i - 1] = node->heads[i];
  }
  node->slots[--node->count] = {};
}

}  // namespace

Node::Node(const Node& other, uint64_t edit_epoch)
    : is_leaf(other.is_leaf),
      count(other.count),
      epoch(edit_epoch),
      low(other.low),
      prefix(other.prefix),
      heads(other.heads) {}

Leaf::Leaf(const Leaf& other, uint64_t edit_epoch) : Node(other, edit_epoch), slots(other.slots) {}

Inner::Inner(const Inner& other, uint64_t edit_epoch)
    : Node(other, edit_epoch), slots(other.slots) {}

void Node::Destroy(Node* node) {
  if (node->is_leaf) {
    delete static_cast<Leaf*>(node);
  } else {
    delete static_cast<Inner*>(node);
  }
}

size_t CowTree::LowerBound(const Leaf& leaf, std::string_view key) {
  return Bound<false>(leaf, key);
}

size_t CowTree::ChildFor(const Inner& inner, std::string_view key) {
  return Bound<true>(inner, key) - 1;
}

const Item* CowTree::Frozen::Find(std::string_view key) const {
  const Node* node = root_.get();
  while (!node->is_leaf) {
    const auto& inner = static_cast<const Inner&>(*node);
    node = inner.slots[ChildFor(inner, key)].get();
  }
  const auto& leaf = static_cast<const Leaf&>(*node);
  const size_t at = LowerBound(leaf, key);
  if (at == leaf.count || leaf.slots[at]->key() != key) return nullptr;
  return leaf.slots[at].get();
}

template <typename NodeType>
NodeType* CowTree::Own(Ref<Node>& slot) {
  if (slot->epoch != epoch_) {
    slot = Ref<Node>(new NodeType(static_cast<const NodeType&>(*slot), epoch_));
  }
  return static_cast<NodeType*>(slot.get());
}

void CowTree::Put(Ref<Item> item) {
  Ref<Node> right = Insert(root_, std::move(item));
  if (!right) return;
  Ref<Inner> root(new Inner(epoch_));
  root->count = 2;
  root->slots[0] = std::move(root_);
  root->slots[1] = std::move(right);
  FindPrefix(root.get());
  root_ = std::move(root);
}

Ref<Node> CowTree::Insert(Ref<Node>& slot, Ref<Item> item) {
  if (slot->is_leaf) {
    Leaf* leaf = Own<Leaf>(slot);
    const size_t at = LowerBound(*leaf, item->key());
    if (at < leaf->count && leaf->slots[at]->key() == item->key()) {
      leaf->slots[at] = std::move(item);
      return {};
    }
    return InsertAt(leaf, at, std::move(item));
  }
  Inner* inner = Own<Inner>(slot);
  const size_t at = ChildFor(*inner, item->key());
  Ref<Node> right = Insert(inner->slots[at], std::move(item));
  if (!right) return {};
  return InsertAt(inner, at + 1, std::move(right));
}

template <typename NodeType, typename Slot>
Ref<Node> CowTree::InsertAt(NodeType* node, size_t at, Slot slot) {
  if (node->count == kNodeMax) {
    // Ascending keys always land at the end: splitting there leaves full nodes, not half full ones.
    const size_t half = at == kNodeMax ? kNodeMax - 1 : kNodeMax / 2;
    Ref<Node> right = SplitOff(node, half);
    auto* other = static_cast<NodeType*>(right.get());
    // By key: one that belongs between the two halves may be on either side of the separator.
    if (KeyOf(slot) < right->low) {
      InsertAt(node, at, std::move(slot));
    } else {
      InsertAt(other, at - half, std::move(slot));
    }
    return right;
  }
  const std::string_view key = KeyOf(slot);
  for (size_t i = node->count; i > at; --i) {
    node->slots[i] = std::move(node->slots[i - 1]);
    node->heads[i] = node->heads[i - 1];
  }
  node->slots[at] = std::move(slot);
  ++node->count;
  if (node->count == NodeType::kFirst + 1 || key.substr(0, node->prefix.size()) != node->prefix) {
    FindPrefix(node);
  } else {
    node->heads[at] = HeadOf(key, node->prefix.size());
  }
  return {};
}

template <typename NodeType>
Ref<Node> CowTree::SplitOff(NodeType* node, size_t at) {
  MOKV_CHECK(at > 0 && at < node->count);
  Ref<NodeType> right(new NodeType(epoch_));
  const std::string_view first = KeyOf(node->slots[at]);
  if (node->is_leaf) {
    // The shortest text that is above the one and not above the other.
    right->low = first.substr(0, CommonPrefix(KeyOf(node->slots[at - 1]), first) + 1);
  } else {
    right->low = first;
  }
  for (size_t i = at; i < node->count; ++i) {
    right->slots[i - at] = std::move(node->slots[i]);
  }
  right->count = node->count - static_cast<uint32_t>(at);
  node->count = static_cast<uint32_t>(at);
  FindPrefix(node);
  FindPrefix(right.get());
  return right;
}

bool CowTree::Erase(std::string_view key) {
  // Looked up first, so that erasing nothing copies nothing.
  if (Frozen(root_).Find(key) == nullptr) return false;
  if (Remove(root_, key)) root_ = Ref<Node>(new Leaf(epoch_));
  while (!root_->is_leaf && root_->count == 1) {
    // By way of a copy: the assignment ends the node that holds the child.
    Ref<Node> child = static_cast<const Inner&>(*root_).slots[0];
    root_ = std::move(child);
  }
  return true;
}

// True when the node is empty now.
bool CowTree::Remove(Ref<Node>& slot, std::string_view key) {
  if (slot->is_leaf) {
    Leaf* leaf = Own<Leaf>(slot);
    RemoveAt(leaf, LowerBound(*leaf, key));
  } else {
    Inner* inner = Own<Inner>(slot);
    const size_t at = ChildFor(*inner, key);
    if (Remove(inner->slots[at], key)) RemoveAt(inner, at);
  }
  return slot->count == 0;
}

}  // namespace mokv::bench
