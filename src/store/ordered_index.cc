#include "store/ordered_index.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace mokv::store {
namespace {

// A node that holds fewer than this merges with a neighbour, if the result keeps room for inserts.
constexpr size_t kItemsFew = Leaf::kItemsMax / 4;
constexpr size_t kItemsMergedMax = Leaf::kItemsMax * 3 / 4;
constexpr size_t kChildrenFew = Inner::kChildrenMax / 4;
constexpr size_t kChildrenMergedMax = Inner::kChildrenMax * 3 / 4;

// The shortest text that is greater than `before` and not greater than `after`.
std::string_view SeparatorBetween(std::string_view before, std::string_view after) {
  MOKV_CHECK(before < after);
  return after.substr(0, CommonPrefix(before, after) + 1);
}

void AppendChildren(const Inner& node, size_t begin, size_t end, std::vector<Child>& out) {
  for (size_t i = begin; i < end; ++i) {
    out.push_back({i == 0 ? std::string_view() : node.separator(i - 1), &node.child(i)});
  }
}

}  // namespace

OrderedIndex::~OrderedIndex() {
  if (TreeNode* root = root_.load(std::memory_order_relaxed)) FreeNodes(*root);
}

void OrderedIndex::FreeNodes(TreeNode& node) {
  if (node.level > 0) {
    auto& inner = static_cast<Inner&>(node);
    for (size_t i = 0; i < inner.count; ++i) {
      FreeNodes(*inner.child(i).load(std::memory_order_relaxed));
    }
  }
  heap_.Free(&node);
}

size_t OrderedIndex::Path::SharedBytes() const {
  return low.data() == nullptr || high.data() == nullptr ? 0 : CommonPrefix(low, high);
}

void OrderedIndex::Path::Descend(Inner& node, size_t index) {
  MOKV_CHECK_LT(depth, kLevelsMax);
  steps[depth++] = {&node, index};
  if (index > 0) low = std::as_const(node).separator(index - 1);
  if (index + 1 < node.count) high = std::as_const(node).separator(index);
}

OrderedIndex::Path OrderedIndex::PathTo(std::string_view key) const {
  Path path;
  TreeNode* node = root_.load(std::memory_order_acquire);
  if (node == nullptr) return path;
  // The leaf itself is not looked at: see Locate.
  for (size_t level = node->level; level > 0; --level) {
    auto& inner = static_cast<Inner&>(*node);
    path.Descend(inner, inner.Search(key));
    node = inner.child(path.steps[path.depth - 1].index).load(std::memory_order_acquire);
  }
  path.leaf = static_cast<Leaf*>(node);
  return path;
}

void OrderedIndex::ReadAt(std::string_view key, Run& run) const {
  const Path path = PathTo(key);
  run.items.clear();
  run.high.reset();
  if (path.high.data() != nullptr) run.high = path.high;
  if (path.leaf == nullptr) return;
  for (size_t i = 0; i < path.leaf->count; ++i) {
    const Item& item = std::as_const(*path.leaf).item(i);
    // The reader of the run looks at every item, and they may be anywhere in memory.
    __builtin_prefetch(&item);
    __builtin_prefetch(reinterpret_cast<const char*>(&item) + Heap::kCacheLineBytes);
    run.items.push_back(&item);
  }
}

OrderedIndex::Spot OrderedIndex::Locate(std::string_view key) const {
  const Path path = PathTo(key);
  for (size_t at = 0; path.leaf != nullptr && at < Leaf::kBytesMax; at += Heap::kCacheLineBytes) {
    __builtin_prefetch(reinterpret_cast<const char*>(path.leaf) + at);
  }
  return {path.leaf, path.SharedBytes(), changes_};
}

void OrderedIndex::Replace(const Item& item, const Spot& spot) {
  if (spot.changes != changes_) return Replace(item, Locate(item.key()));
  MOKV_CHECK(spot.leaf != nullptr);
  const Leaf::Found found = spot.leaf->Search(item.key(), spot.shared_bytes);
  MOKV_CHECK(found.exact);
  spot.leaf->slot(found.position).store(&item, std::memory_order_release);
}

void OrderedIndex::Insert(const Item& item) {
  ++changes_;
  Path path = PathTo(item.key());
  if (path.leaf == nullptr) {
    const Item* const only = &item;
    root_.store(Leaf::Make(heap_, {&only, 1}), std::memory_order_release);
    return;
  }
  const Leaf::Found found = path.leaf->Search(item.key(), path.SharedBytes());
  MOKV_CHECK(!found.exact);
  if (path.leaf->count == Leaf::kItemsMax) return SplitLeaf(path, found.position, item);
  const LeafList list(*path.leaf, found.position, item);
  const Child copy{{}, Leaf::Make(heap_, list, 0, list.count())};
  ReplaceChildren(path, path.depth, path.depth == 0 ? 0 : path.steps[path.depth - 1].index, 1,
                  {&copy, 1});
  epochs_.Retire(path.leaf);
}

void OrderedIndex::SplitLeaf(Path& path, size_t position, const Item& item) {
  const LeafList list(*path.leaf, position, item);
  // A key behind all others: keys probably arrive in order, so the left half stays full.
  const bool appending = position == path.leaf->count && path.high.data() == nullptr;
  const size_t middle = appending ? list.count() - 1 : list.count() / 2;
  const Child halves[2] = {{{}, Leaf::Make(heap_, list, 0, middle)},
                           {SeparatorBetween(list.item(middle - 1).key(), list.item(middle).key()),
                            Leaf::Make(heap_, list, middle, list.count())}};
  ReplaceChildren(path, path.depth, path.depth == 0 ? 0 : path.steps[path.depth - 1].index, 1,
                  halves);
  epochs_.Retire(path.leaf);
}

void OrderedIndex::Erase(std::string_view key) {
  ++changes_;
  Path path = PathTo(key);
  MOKV_CHECK(path.leaf != nullptr);
  const Leaf::Found found = path.leaf->Search(key, path.SharedBytes());
  MOKV_CHECK(found.exact);
  const LeafList rest(*path.leaf, found.position);
  const size_t index = path.depth == 0 ? 0 : path.steps[path.depth - 1].index;
  if (rest.count() == 0) {
    ReplaceChildren(path, path.depth, index, 1, {});
  } else if (rest.count() >= kItemsFew || !MergeLeaf(path, rest)) {
    const Child copy{{}, Leaf::Make(heap_, rest, 0, rest.count())};
    ReplaceChildren(path, path.depth, index, 1, {&copy, 1});
  }
  epochs_.Retire(path.leaf);
}

bool OrderedIndex::MergeLeaf(Path& path, const LeafList& rest) {
  if (path.depth == 0) return false;
  const auto [parent, index] = path.steps[path.depth - 1];
  if (parent->count < 2) return false;
  const bool with_next = index + 1 < parent->count;
  auto& neighbour =
      static_cast<Leaf&>(std::as_const(*parent).child(with_next ? index + 1 : index - 1));
  if (rest.count() + neighbour.count > kItemsMergedMax) return false;
  std::vector<const Item*> items;
  for (size_t i = 0; i < rest.count(); ++i) items.push_back(&rest.item(i));
  const auto where = with_next ? items.end() : items.begin();
  std::vector<const Item*> others;
  for (size_t i = 0; i < neighbour.count; ++i) others.push_back(&std::as_const(neighbour).item(i));
  items.insert(where, others.begin(), others.end());
  const Child merged{{}, Leaf::Make(heap_, items)};
  ReplaceChildren(path, path.depth, with_next ? index : index - 1, 2, {&merged, 1});
  epochs_.Retire(&neighbour);
  return true;
}

void OrderedIndex::SetRoot(std::span<const Child> added) {
  TreeNode* root = nullptr;
  if (added.size() == 1) root = added[0].node;
  if (added.size() > 1) {
    root = Inner::Make(heap_, static_cast<uint16_t>(added[0].node->level + 1), added);
  }
  root_.store(root, std::memory_order_release);
}

void OrderedIndex::ReplaceChildren(Path& path, size_t depth, size_t first, size_t removed,
                                   std::span<const Child> added) {
  if (depth == 0) return SetRoot(added);
  Inner& node = *path.steps[depth - 1].node;
  if (removed == 1 && added.size() == 1) {
    node.child(first).store(added[0].node, std::memory_order_release);
    return;
  }
  std::vector<Child> children;
  children.reserve(node.count + added.size());
  AppendChildren(node, 0, first, children);
  for (Child child : added) {
    // The first of them takes the place of what was there, and its separator.
    if (children.size() == first) {
      child.separator = first == 0 ? std::string_view() : std::as_const(node).separator(first - 1);
    }
    children.push_back(child);
  }
  AppendChildren(node, first + removed, node.count, children);
  epochs_.Retire(&node);

  const size_t above = depth - 1;
  const size_t place = above == 0 ? 0 : path.steps[above - 1].index;
  if (children.empty()) return ReplaceChildren(path, above, place, 1, {});
  if (children.size() == 1 && above == 0) return SetRoot(children);
  if (children.size() < kChildrenFew && MergeInner(path, depth, children)) return;
  if (children.size() <= Inner::kChildrenMax) {
    const Child copy{{}, Inner::Make(heap_, node.level, children)};
    return ReplaceChildren(path, above, place, 1, {&copy, 1});
  }
  const bool appending = first + 1 == node.count && path.high.data() == nullptr;
  const size_t middle = appending ? children.size() - 1 : children.size() / 2;
  const std::span<const Child> all(children);
  const Child halves[2] = {
      {{}, Inner::Make(heap_, node.level, all.first(middle))},
      {children[middle].separator, Inner::Make(heap_, node.level, all.subspan(middle))}};
  ReplaceChildren(path, above, place, 1, halves);
}

bool OrderedIndex::MergeInner(Path& path, size_t depth, std::span<const Child> children) {
  if (depth < 2) return false;
  const auto [parent, index] = path.steps[depth - 2];
  if (parent->count < 2) return false;
  const bool with_next = index + 1 < parent->count;
  auto& neighbour =
      static_cast<Inner&>(std::as_const(*parent).child(with_next ? index + 1 : index - 1));
  if (children.size() + neighbour.count > kChildrenMergedMax) return false;
  std::vector<Child> merged;
  if (with_next) merged.assign(children.begin(), children.end());
  const size_t seam = with_next ? merged.size() : neighbour.count;
  AppendChildren(neighbour, 0, neighbour.count, merged);
  if (!with_next) merged.insert(merged.end(), children.begin(), children.end());
  merged[seam].separator = std::as_const(*parent).separator(with_next ? index : index - 1);
  const Child node{{}, Inner::Make(heap_, neighbour.level, merged)};
  ReplaceChildren(path, depth - 1, with_next ? index : index - 1, 2, {&node, 1});
  epochs_.Retire(&neighbour);
  return true;
}

void OrderedIndex::Builder::Append(const Item& item) {
  if (leaf_.size() == kItemsInLeaf) CloseLeaf();
  leaf_.push_back(&item);
}

void OrderedIndex::Builder::CloseLeaf() {
  const std::string_view first = leaf_.front()->key();
  leaves_.push_back({leaves_.empty() ? std::string_view() : SeparatorBetween(last_key_, first),
                     Leaf::Make(index_.heap_, leaf_)});
  last_key_ = leaf_.back()->key();
  leaf_.clear();
}

void OrderedIndex::Builder::Finish() {
  MOKV_CHECK(index_.root_.load() == nullptr);
  if (!leaf_.empty()) CloseLeaf();
  std::vector<Child> level = std::move(leaves_);
  while (level.size() > 1) {
    std::vector<Child> above;
    for (size_t begin = 0; begin < level.size(); begin += kChildrenInInner) {
      const size_t count = std::min(kChildrenInInner, level.size() - begin);
      const auto height = static_cast<uint16_t>(level[begin].node->level + 1);
      above.push_back({level[begin].separator,
                       Inner::Make(index_.heap_, height, std::span(level).subspan(begin, count))});
    }
    level = std::move(above);
  }
  if (!level.empty()) index_.root_.store(level[0].node, std::memory_order_release);
}

}  // namespace mokv::store
