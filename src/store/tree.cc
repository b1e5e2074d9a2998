#include "store/tree.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace mokv::store {
namespace {

// A child at or below this is joined with a neighbour if the two are at most kJoinedMax: well below
// kNodeMax, so that the next insertion does not split them again.
constexpr size_t kSmallMax = kNodeMax / 4;
constexpr size_t kJoinedMax = kNodeMax * 3 / 4;
static_assert(kSmallMax >= 1 && kSmallMax < kJoinedMax && kJoinedMax < kNodeMax);

const Leaf& AsLeaf(const Node& node) {
  MOKV_DCHECK(node.is_leaf);
  return static_cast<const Leaf&>(node);
}

const Inner& AsInner(const Node& node) {
  MOKV_DCHECK(!node.is_leaf);
  return static_cast<const Inner&>(node);
}

size_t FillOf(const Node& node) {
  return node.is_leaf ? AsLeaf(node).items.size() : AsInner(node).children.size();
}

template <typename Container>
auto At(Container& container, size_t position) {
  return container.begin() + static_cast<ptrdiff_t>(position);
}

// The shortest text that is above `below` and not above `above`.
std::string SeparatorBetween(std::string_view below, std::string_view above) {
  MOKV_CHECK(below < above);
  size_t common = 0;
  while (common < below.size() && below[common] == above[common]) ++common;
  return std::string(above.substr(0, common + 1));
}

void RemoveChild(Inner* inner, size_t at) {
  inner->children.erase(At(inner->children, at));
  if (!inner->separators.empty()) {
    inner->separators.erase(At(inner->separators, at == 0 ? 0 : at - 1));
  }
}

}  // namespace

size_t Leaf::LowerBound(std::string_view key) const {
  const auto found = std::partition_point(
      items.begin(), items.end(), [key](const Ref<StoredItem>& i) { return i->item.key < key; });
  return static_cast<size_t>(found - items.begin());
}

size_t Inner::ChildFor(std::string_view key) const {
  const auto above = std::upper_bound(separators.begin(), separators.end(), key);
  return static_cast<size_t>(above - separators.begin());
}

const Item* FindItem(const Node& root, std::string_view key) {
  const Node* node = &root;
  while (!node->is_leaf) {
    const Inner& inner = AsInner(*node);
    node = inner.children[inner.ChildFor(key)].get();
  }
  const Leaf& leaf = AsLeaf(*node);
  const size_t at = leaf.LowerBound(key);
  if (at == leaf.items.size()) return nullptr;
  const Item& item = leaf.items[at]->item;
  return item.key == key ? &item : nullptr;
}

TreeCursor::TreeCursor(const Node& root, std::string_view from) {
  const Node* node = &root;
  while (!node->is_leaf) {
    const Inner& inner = AsInner(*node);
    path_.push_back({&inner, inner.ChildFor(from)});
    node = inner.children[path_.back().child].get();
  }
  leaf_ = &AsLeaf(*node);
  position_ = leaf_->LowerBound(from);
  if (position_ == leaf_->items.size()) EnterNextLeaf();
}

const Item* TreeCursor::item() const {
  return leaf_ == nullptr ? nullptr : &leaf_->items[position_]->item;
}

void TreeCursor::Next() {
  MOKV_CHECK(leaf_ != nullptr);
  if (++position_ == leaf_->items.size()) EnterNextLeaf();
}

void TreeCursor::EnterNextLeaf() {
  leaf_ = nullptr;
  position_ = 0;
  while (!path_.empty() && path_.back().child + 1 == path_.back().inner->children.size()) {
    path_.pop_back();
  }
  if (path_.empty()) return;
  Step& fork = path_.back();
  const Node* node = fork.inner->children[++fork.child].get();
  while (!node->is_leaf) {
    path_.push_back({&AsInner(*node), 0});
    node = AsInner(*node).children.front().get();
  }
  leaf_ = &AsLeaf(*node);
}

Tree::Tree() : root_(MakeRef<Leaf>(epoch_)) {}

Ref<Node> Tree::Freeze() {
  ++epoch_;
  return root_;
}

template <typename NodeType>
NodeType* Tree::Own(Ref<Node>& slot) {
  if (slot->epoch != epoch_) {
    slot = MakeRef<NodeType>(static_cast<const NodeType&>(*slot), epoch_);
  }
  return static_cast<NodeType*>(slot.get());
}

void Tree::Put(Ref<StoredItem> item) {
  std::optional<Split> split = Insert(root_, std::move(item));
  if (!split) return;
  Ref<Inner> root = MakeRef<Inner>(epoch_);
  root->children.push_back(std::move(root_));
  root->separators.push_back(std::move(split->separator));
  root->children.push_back(std::move(split->right));
  root_ = std::move(root);
}

std::optional<Tree::Split> Tree::Insert(Ref<Node>& slot, Ref<StoredItem> item) {
  if (slot->is_leaf) return InsertIntoLeaf(Own<Leaf>(slot), std::move(item));
  Inner* inner = Own<Inner>(slot);
  const size_t at = inner->ChildFor(item->item.key);
  std::optional<Split> split = Insert(inner->children[at], std::move(item));
  if (!split) return std::nullopt;
  inner->separators.insert(At(inner->separators, at), std::move(split->separator));
  inner->children.insert(At(inner->children, at + 1), std::move(split->right));
  if (inner->children.size() <= kNodeMax) return std::nullopt;
  return SplitInner(inner);
}

std::optional<Tree::Split> Tree::InsertIntoLeaf(Leaf* leaf, Ref<StoredItem> item) {
  const size_t at = leaf->LowerBound(item->item.key);
  if (at < leaf->items.size() && leaf->items[at]->item.key == item->item.key) {
    leaf->items[at] = std::move(item);
    return std::nullopt;
  }
  leaf->items.insert(At(leaf->items, at), std::move(item));
  if (leaf->items.size() <= kNodeMax) return std::nullopt;
  // Ascending keys always land at the end: splitting there leaves full nodes, not half full ones.
  const bool is_last = at + 1 == leaf->items.size();
  return SplitLeaf(leaf, is_last ? at : leaf->items.size() / 2);
}

Tree::Split Tree::SplitLeaf(Leaf* leaf, size_t at) {
  MOKV_CHECK(at > 0 && at < leaf->items.size());
  Ref<Leaf> right = MakeRef<Leaf>(epoch_);
  std::move(At(leaf->items, at), leaf->items.end(), std::back_inserter(right->items));
  leaf->items.erase(At(leaf->items, at), leaf->items.end());
  std::string separator =
      SeparatorBetween(leaf->items.back()->item.key, right->items.front()->item.key);
  return Split{std::move(separator), std::move(right)};
}

Tree::Split Tree::SplitInner(Inner* inner) {
  const size_t at = inner->children.size() / 2;
  Ref<Inner> right = MakeRef<Inner>(epoch_);
  std::move(At(inner->children, at), inner->children.end(), std::back_inserter(right->children));
  inner->children.erase(At(inner->children, at), inner->children.end());
  // The separator between the two halves moves up to the parent.
  std::string separator = std::move(inner->separators[at - 1]);
  std::move(At(inner->separators, at), inner->separators.end(),
            std::back_inserter(right->separators));
  inner->separators.erase(At(inner->separators, at - 1), inner->separators.end());
  return Split{std::move(separator), std::move(right)};
}

bool Tree::Erase(std::string_view key) {
  // Looked up first, so that erasing nothing copies nothing.
  if (Find(key) == nullptr) return false;
  Remove(root_, key);
  while (!root_->is_leaf && FillOf(*root_) == 1) {
    root_ = AsInner(*root_).children.front();
  }
  MOKV_CHECK(root_->is_leaf || FillOf(*root_) > 1);
  return true;
}

void Tree::Remove(Ref<Node>& slot, std::string_view key) {
  if (slot->is_leaf) {
    Leaf* leaf = Own<Leaf>(slot);
    const size_t at = leaf->LowerBound(key);
    MOKV_CHECK(at < leaf->items.size() && leaf->items[at]->item.key == key);
    leaf->items.erase(At(leaf->items, at));
    return;
  }
  Inner* inner = Own<Inner>(slot);
  const size_t at = inner->ChildFor(key);
  Remove(inner->children[at], key);
  TidyChild(inner, at);
}

void Tree::TidyChild(Inner* inner, size_t at) {
  const size_t fill = FillOf(*inner->children[at]);
  if (fill == 0) return RemoveChild(inner, at);
  if (fill > kSmallMax) return;
  if (at > 0 && JoinIfSmall(inner, at - 1)) return;
  if (at + 1 < inner->children.size()) JoinIfSmall(inner, at);
}

bool Tree::JoinIfSmall(Inner* inner, size_t left_at) {
  Ref<Node>& left_slot = inner->children[left_at];
  const Node& right_node = *inner->children[left_at + 1];
  if (FillOf(*left_slot) + FillOf(right_node) > kJoinedMax) return false;
  if (left_slot->is_leaf) {
    Leaf* left = Own<Leaf>(left_slot);
    const Leaf& right = AsLeaf(right_node);
    left->items.insert(left->items.end(), right.items.begin(), right.items.end());
  } else {
    Inner* left = Own<Inner>(left_slot);
    const Inner& right = AsInner(right_node);
    left->separators.push_back(inner->separators[left_at]);
    left->separators.insert(left->separators.end(), right.separators.begin(),
                            right.separators.end());
    left->children.insert(left->children.end(), right.children.begin(), right.children.end());
  }
  RemoveChild(inner, left_at + 1);
  return true;
}

namespace {

// Checks what is under `node`, whose keys must be in [`from`, `below`); returns its depth.
size_t CheckNode(const Node& node, std::string_view from, std::optional<std::string_view> below,
                 bool is_root) {
  MOKV_CHECK_LE(FillOf(node), kNodeMax);
  MOKV_CHECK(FillOf(node) > 0 || (is_root && node.is_leaf));
  if (node.is_leaf) {
    std::optional<std::string_view> previous;
    for (const Ref<StoredItem>& item : AsLeaf(node).items) {
      const std::string_view key = item->item.key;
      MOKV_CHECK(key >= from && (!below || key < *below));
      MOKV_CHECK(!previous || *previous < key);
      previous = key;
    }
    return 1;
  }
  const Inner& inner = AsInner(node);
  MOKV_CHECK_EQ(inner.children.size(), inner.separators.size() + 1);
  std::optional<size_t> depth;
  for (size_t i = 0; i < inner.children.size(); ++i) {
    const std::string_view low = i == 0 ? from : std::string_view(inner.separators[i - 1]);
    std::optional<std::string_view> high = below;
    if (i < inner.separators.size()) high = inner.separators[i];
    MOKV_CHECK(low >= from && (!high || low < *high));
    const size_t child_depth = CheckNode(*inner.children[i], low, high, false);
    MOKV_CHECK_EQ(child_depth, depth.value_or(child_depth));
    depth = child_depth;
  }
  return *depth + 1;
}

}  // namespace

void Tree::CheckInvariant() const { CheckNode(*root_, "", std::nullopt, true); }

}  // namespace mokv::store
