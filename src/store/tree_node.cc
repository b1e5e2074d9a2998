#include "store/tree_node.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "base/check.h"

namespace mokv::store {
namespace {

// The bytes of `key` from `from` on, as a number that orders as they do. Missing bytes are zeros.
template <typename Head>
Head HeadOf(std::string_view key, size_t from) {
  Head head = 0;
  if (from + sizeof(Head) <= key.size()) {
    std::memcpy(&head, key.data() + from, sizeof(Head));
  } else if (from < key.size()) {
    std::memcpy(&head, key.data() + from, key.size() - from);
  }
  if constexpr (std::endian::native == std::endian::little) {
    if constexpr (sizeof(Head) == 4) head = __builtin_bswap32(head);
    if constexpr (sizeof(Head) == 8) head = __builtin_bswap64(head);
  }
  return head;
}

// How many of the ascending `heads` are less than `head`, without branches to mispredict.
template <typename Head>
size_t CountLess(const Head* heads, size_t count, Head head) {
  const Head* first = heads;
  while (count > 1) {
    const size_t half = count / 2;
    first += first[half - 1] < head ? half : 0;
    count -= half;
  }
  return static_cast<size_t>(first - heads) + (count == 1 && *first < head ? 1 : 0);
}

}  // namespace

size_t CommonPrefix(std::string_view a, std::string_view b) {
  const size_t size = std::min(a.size(), b.size());
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(size), b.begin()).first -
      a.begin());
}

Leaf* Leaf::Allocate(Heap& heap, size_t count, size_t prefix_bytes) {
  MOKV_CHECK(count >= 1 && count <= kItemsMax);
  void* memory = heap.Allocate(sizeof(Leaf) + HeadsBytes(count) + count * sizeof(Item*));
  return new (memory) Leaf{{0, static_cast<uint16_t>(count), static_cast<uint32_t>(prefix_bytes)}};
}

void Leaf::FillHeads() {
  for (size_t i = 0; i < count; ++i) __builtin_prefetch(&item(i));
  for (size_t i = 0; i < count; ++i) Heads()[i] = HeadOf<uint32_t>(item(i).key(), prefix_bytes);
}

Leaf* Leaf::Make(Heap& heap, std::span<const Item* const> items) {
  Leaf* leaf =
      Allocate(heap, items.size(), CommonPrefix(items.front()->key(), items.back()->key()));
  for (size_t i = 0; i < items.size(); ++i) new (&leaf->slot(i)) std::atomic<const Item*>(items[i]);
  leaf->FillHeads();
  return leaf;
}

Leaf* Leaf::Make(Heap& heap, const LeafList& list, size_t begin, size_t end) {
  MOKV_CHECK(begin < end && end <= list.count_);
  const std::span items(list.items_.data() + begin, end - begin);
  // Once two bytes of the old heads are the same for all, it pays to look at the items for new
  // ones.
  const uint32_t differing = list.heads_[begin] ^ list.heads_[end - 1];
  if (items.size() > 1 && std::countl_zero(differing) >= 16) return Make(heap, items);
  Leaf* leaf = Allocate(heap, items.size(), list.prefix_bytes_);
  for (size_t i = 0; i < items.size(); ++i) new (&leaf->slot(i)) std::atomic<const Item*>(items[i]);
  std::copy_n(list.heads_.data() + begin, items.size(), leaf->Heads());
  return leaf;
}

void LeafList::Take(const Leaf& leaf, size_t begin, size_t end) {
  std::copy(leaf.Heads() + begin, leaf.Heads() + end, heads_.data() + count_);
  for (size_t i = begin; i < end; ++i) items_[count_++] = &leaf.item(i);
}

LeafList::LeafList(const Leaf& leaf, size_t position) : prefix_bytes_(leaf.prefix_bytes) {
  MOKV_CHECK_LT(position, leaf.count);
  Take(leaf, 0, position);
  Take(leaf, position + 1, leaf.count);
}

LeafList::LeafList(const Leaf& leaf, size_t position, const Item& item)
    : prefix_bytes_(leaf.prefix_bytes) {
  MOKV_CHECK_LE(position, leaf.count);
  // An item between two others shares what they share; one before or behind all perhaps less.
  if (position == 0 || position == leaf.count) {
    const Item& edge = leaf.item(position == 0 ? 0 : position - 1);
    prefix_bytes_ = std::min(prefix_bytes_, CommonPrefix(item.key(), edge.key()));
  }
  Take(leaf, 0, position);
  heads_[count_] = HeadOf<uint32_t>(item.key(), prefix_bytes_);
  items_[count_++] = &item;
  Take(leaf, position, leaf.count);
  if (prefix_bytes_ == leaf.prefix_bytes) return;
  for (size_t i = 0; i < count_; ++i) {
    heads_[i] = HeadOf<uint32_t>(items_[i]->key(), prefix_bytes_);
  }
}

Leaf::Found Leaf::Search(std::string_view key, size_t shared_bytes) const {
  if (shared_bytes < prefix_bytes) {
    const int order = key.substr(0, prefix_bytes).compare(item(0).key().substr(0, prefix_bytes));
    if (order != 0) return {order < 0 ? 0 : size_t{count}, false};
  }
  const auto head = HeadOf<uint32_t>(key, prefix_bytes);
  for (size_t i = CountLess(Heads(), count, head); i < count && Heads()[i] == head; ++i) {
    const int order = key.compare(item(i).key());
    if (order <= 0) return {i, order == 0};
    if (i + 1 == count || Heads()[i + 1] != head) return {i + 1, false};
  }
  return {CountLess(Heads(), count, head), false};
}

Inner* Inner::Make(Heap& heap, uint16_t level, std::span<const Child> children) {
  MOKV_CHECK(!children.empty() && children.size() <= kChildrenMax);
  size_t separator_bytes = 0;
  for (const Child& child : children.subspan(1)) separator_bytes += child.separator.size();
  const size_t separators = children.size() - 1;
  const size_t prefix_bytes =
      separators == 0 ? 0 : CommonPrefix(children[1].separator, children.back().separator);
  void* memory = heap.Allocate(sizeof(Inner) + separators * sizeof(uint64_t) +
                               children.size() * sizeof(TreeNode*) + separators * sizeof(uint32_t) +
                               separator_bytes);
  auto* inner = new (memory)
      Inner{{level, static_cast<uint16_t>(children.size()), static_cast<uint32_t>(prefix_bytes)}};
  char* bytes = reinterpret_cast<char*>(inner->Ends() + separators);
  uint32_t end = 0;
  for (size_t i = 0; i < children.size(); ++i) {
    MOKV_CHECK(children[i].node->level + 1 == level);
    new (&inner->child(i)) std::atomic<TreeNode*>(children[i].node);
    if (i == 0) continue;
    const std::string_view separator = children[i].separator;
    inner->Heads()[i - 1] = HeadOf<uint64_t>(separator, prefix_bytes);
    std::memcpy(bytes + end, separator.data(), separator.size());
    end += static_cast<uint32_t>(separator.size());
    inner->Ends()[i - 1] = end;
  }
  return inner;
}

std::string_view Inner::separator(size_t index) const {
  const uint32_t* ends = const_cast<Inner*>(this)->Ends();
  const uint32_t begin = index == 0 ? 0 : ends[index - 1];
  return {reinterpret_cast<const char*>(ends + separators()) + begin, ends[index] - begin};
}

size_t Inner::Search(std::string_view key) const {
  const size_t all = separators();
  if (all == 0) return 0;
  if (prefix_bytes > 0) {
    const int order = key.substr(0, prefix_bytes).compare(separator(0).substr(0, prefix_bytes));
    if (order != 0) return order < 0 ? 0 : all;
  }
  const auto head = HeadOf<uint64_t>(key, prefix_bytes);
  size_t index = CountLess(Heads(), all, head);
  for (; index < all && Heads()[index] == head; ++index) {
    if (separator(index) > key) break;
  }
  return index;
}

}  // namespace mokv::store
