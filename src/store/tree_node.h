// The nodes of the ordered index: what they look like in memory, and how a key is searched in one.
//
// Keys of a node are searched by their heads: the bytes that follow what all its keys begin with,
// as one number. Only when heads are equal are whole keys compared; in a leaf that means looking
// at an item, which is elsewhere in memory.
//
// A node's keys never change once readers can see it; a different set of keys is a new node. Only
// its pointers change in place: to an item's newer version, to the node that replaces a child.
//
// Threads: the store's writer makes and changes nodes; reading them is thread-safe inside an epoch.
//          LeafList and Child are confined to the writer.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "store/heap.h"
#include "store/item.h"

namespace mokv::store {

struct TreeNode {
  uint16_t level;         // 0: leaf.
  uint16_t count;         // Items, or children.
  uint32_t prefix_bytes;  // So many first bytes all keys of a leaf, or all separators, share.
};

// How many first bytes two keys share.
size_t CommonPrefix(std::string_view a, std::string_view b);

class Leaf;

// The items of a leaf that is being changed. It has room for one more than a leaf.
class LeafList {
 public:
  static constexpr size_t kItemsMax = 42 + 1;

  // The leaf's items, and `item` at `position`. Looks at the others only when `item` shares less
  // with them than they share with each other.
  LeafList(const Leaf& leaf, size_t position, const Item& item);
  // The leaf's items without that at `position`.
  LeafList(const Leaf& leaf, size_t position);

  size_t count() const { return count_; }
  const Item& item(size_t index) const { return *items_[index]; }

 private:
  friend class Leaf;
  void Take(const Leaf& leaf, size_t begin, size_t end);

  size_t prefix_bytes_;
  size_t count_ = 0;
  std::array<uint32_t, kItemsMax> heads_;
  std::array<const Item*, kItemsMax> items_;
};

// Layout: TreeNode, heads (4 bytes each, padded to 8 bytes), items.
class Leaf : public TreeNode {
 public:
  // Measured: larger leaves cost more to copy, smaller ones make the levels above larger.
  static constexpr size_t kItemsMax = LeafList::kItemsMax - 1;
  static constexpr size_t kBytesMax = 512;

  // `items` ascending, 1 to kItemsMax.
  static Leaf* Make(Heap& heap, std::span<const Item* const> items);
  // Some of a list, by position.
  static Leaf* Make(Heap& heap, const LeafList& list, size_t begin, size_t end);

  std::atomic<const Item*>& slot(size_t index) { return Slots()[index]; }
  const Item& item(size_t index) const {
    return *const_cast<Leaf*>(this)->Slots()[index].load(std::memory_order_acquire);
  }

  // Where `key` is, or would be. `shared_bytes`: how much of it is known to be shared with every
  // key of the leaf.
  struct Found {
    size_t position;
    bool exact;
  };
  Found Search(std::string_view key, size_t shared_bytes) const;

 private:
  friend class LeafList;

  static Leaf* Allocate(Heap& heap, size_t count, size_t prefix_bytes);
  static size_t HeadsBytes(size_t count) { return (count * sizeof(uint32_t) + 7) & ~size_t{7}; }
  uint32_t* Heads() { return reinterpret_cast<uint32_t*>(this + 1); }
  const uint32_t* Heads() const { return reinterpret_cast<const uint32_t*>(this + 1); }
  std::atomic<const Item*>* Slots() {
    return reinterpret_cast<std::atomic<const Item*>*>(reinterpret_cast<char*>(this + 1) +
                                                       HeadsBytes(count));
  }
  void FillHeads();
};

// A child and the separator before it. No key of this child, or of those after it, is less than the
// separator. The first child's separator is not used.
struct Child {
  std::string_view separator;
  TreeNode* node = nullptr;
};

// Layout: TreeNode, heads (8 bytes each, one fewer than children), children, ends of the separators
// (4 bytes each), the separators' bytes.
class Inner : public TreeNode {
 public:
  static constexpr size_t kChildrenMax = 64;

  static Inner* Make(Heap& heap, uint16_t level, std::span<const Child> children);

  std::atomic<TreeNode*>& child(size_t index) { return Children()[index]; }
  TreeNode& child(size_t index) const {
    return *const_cast<Inner*>(this)->Children()[index].load(std::memory_order_acquire);
  }
  // Between child `index` and the next one.
  std::string_view separator(size_t index) const;
  // The child that `key` belongs to.
  size_t Search(std::string_view key) const;

 private:
  size_t separators() const { return size_t{count} - 1; }
  uint64_t* Heads() { return reinterpret_cast<uint64_t*>(this + 1); }
  const uint64_t* Heads() const { return reinterpret_cast<const uint64_t*>(this + 1); }
  std::atomic<TreeNode*>* Children() {
    return reinterpret_cast<std::atomic<TreeNode*>*>(Heads() + separators());
  }
  uint32_t* Ends() { return reinterpret_cast<uint32_t*>(Children() + count); }
};

}  // namespace mokv::store
