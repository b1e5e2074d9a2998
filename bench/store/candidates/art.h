// Art: a persistent adaptive radix tree, as a candidate for the store: an ordered map that can be
// frozen at no cost. Nodes for 4, 16, 48 and 256 next bytes; paths without a fork are compressed
// into a prefix, and a subtree of one item is that item.
//
// Sharing between the tree and its frozen roots is as in CowTree: path copying, once an edit epoch.
//
// Prototype: a node grows when it is full but does not shrink to a smaller kind.
// Threads:   confined to one writer. What Freeze returns is immutable.
// Order:     keys compare as unsigned bytes; one key may be the prefix of another.
// See:       Leis, Kemper, Neumann: The Adaptive Radix Tree (ICDE 2013).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "bench/store/candidates/item.h"
#include "bench/store/candidates/ref.h"

namespace mokv::bench {

class Art {
 public:
  struct Node : Entry {
    Node(Kind the_kind, uint64_t edit_epoch) : Entry(the_kind), epoch(edit_epoch) {}
    Node(const Node& other, Kind the_kind, uint64_t edit_epoch)
        : Entry(the_kind),
          count(other.count),
          epoch(edit_epoch),
          terminal(other.terminal),
          prefix(other.prefix) {}

    uint16_t count = 0;
    const uint64_t epoch;
    Ref<Item> terminal;  // The item whose key ends here.
    std::string prefix;  // Bytes before the one that chooses the child.
  };

  // A few children, in the order of their bytes.
  template <Entry::Kind the_kind, size_t max>
  struct SortedNode final : Node {
    static constexpr Kind kKind = the_kind;
    static constexpr size_t kMax = max;
    explicit SortedNode(uint64_t edit_epoch) : Node(kKind, edit_epoch) {}
    SortedNode(const SortedNode& other, uint64_t edit_epoch)
        : Node(other, kKind, edit_epoch), bytes(other.bytes), children(other.children) {}

    std::array<uint8_t, max> bytes{};
    std::array<Ref<Entry>, max> children;
  };
  using Node4 = SortedNode<Entry::Kind::kNode4, 4>;
  using Node16 = SortedNode<Entry::Kind::kNode16, 16>;

  struct Node48 final : Node {
    static constexpr Kind kKind = Kind::kNode48;
    static constexpr size_t kMax = 48;
    explicit Node48(uint64_t edit_epoch) : Node(kKind, edit_epoch) {}
    Node48(const Node48& other, uint64_t edit_epoch)
        : Node(other, kKind, edit_epoch), places(other.places), children(other.children) {}

    std::array<uint8_t, 256> places{};  // One more than the position in `children`; 0: none.
    std::array<Ref<Entry>, kMax> children;
  };

  struct Node256 final : Node {
    static constexpr Kind kKind = Kind::kNode256;
    static constexpr size_t kMax = 256;
    explicit Node256(uint64_t edit_epoch) : Node(kKind, edit_epoch) {}
    Node256(const Node256& other, uint64_t edit_epoch)
        : Node(other, kKind, edit_epoch), children(other.children) {}

    std::array<Ref<Entry>, kMax> children;
  };

  // The tree at one moment.
  class Frozen {
   public:
    Frozen() = default;
    explicit Frozen(Ref<Entry> root) : root_(std::move(root)) {}
    // Null when missing.
    const Item* Find(std::string_view key) const;
    // Calls visit(item) in order from the first key that is not less than `from`, while it answers
    // true.
    template <typename Visit>
    void ForEachFrom(std::string_view from, const Visit& visit) const {
      if (root_) VisitFrom(*root_, from, 0, visit);
    }

   private:
    template <typename Visit>
    static bool VisitFrom(const Entry& entry, std::string_view from, size_t depth,
                          const Visit& visit);
    template <typename Visit>
    static bool VisitAll(const Entry& entry, const Visit& visit);

    Ref<Entry> root_;
  };

  void Put(Ref<Item> item) { Insert(root_, std::move(item), 0); }
  // False when there is none.
  bool Erase(std::string_view key);
  Frozen Freeze() {
    ++epoch_;
    return Frozen(root_);
  }

 private:
  // Calls use(node) with the node as what it is.
  template <typename Use>
  static auto WithKind(Entry& node, const Use& use);
  template <typename Use>
  static auto WithKind(const Entry& node, const Use& use);
  // Calls use(child) for the children whose byte is at least `from_byte`, in order, while it is
  // true.
  template <typename Use>
  static bool ForEachChild(const Entry& node, size_t from_byte, const Use& use);
  // Null when there is no such child.
  static Ref<Entry>* ChildAt(Entry& node, uint8_t byte);

  // Makes `slot`, which must be ours to write, hold a node that is ours to write.
  Node* Own(Ref<Entry>& slot);
  void Insert(Ref<Entry>& slot, Ref<Item> item, size_t depth);
  void AddChild(Ref<Entry>& slot, uint8_t byte, Ref<Entry> child);
  void AddItem(Ref<Entry>& slot, Ref<Item> item, size_t depth);
  template <typename Larger, typename Smaller>
  Ref<Entry> Grown(Smaller& node);
  void Remove(Ref<Entry>& slot, std::string_view key, size_t depth);
  void RemoveChild(Node& node, uint8_t byte);
  void Compress(Ref<Entry>& slot);

  uint64_t epoch_ = 1;
  Ref<Entry> root_;
};

template <typename Use>
auto Art::WithKind(Entry& node, const Use& use) {
  switch (node.kind) {
    case Entry::Kind::kNode4:
      return use(static_cast<Node4&>(node));
    case Entry::Kind::kNode16:
      return use(static_cast<Node16&>(node));
    case Entry::Kind::kNode48:
      return use(static_cast<Node48&>(node));
    default:
      MOKV_DCHECK(node.kind == Entry::Kind::kNode256);
      return use(static_cast<Node256&>(node));
  }
}

template <typename Use>
auto Art::WithKind(const Entry& node, const Use& use) {
  return WithKind(const_cast<Entry&>(node), [&](const auto& known) { return use(known); });
}

template <typename Use>
bool Art::ForEachChild(const Entry& node, size_t from_byte, const Use& use) {
  return WithKind(node, [&](const auto& known) {
    using Known = std::remove_cvref_t<decltype(known)>;
    if constexpr (Known::kMax <= 16) {
      for (size_t i = 0; i < known.count; ++i) {
        if (known.bytes[i] >= from_byte && !use(known.bytes[i], *known.children[i])) return false;
      }
    } else {
      for (size_t byte = from_byte; byte < 256; ++byte) {
        const Ref<Entry>* child = nullptr;
        if constexpr (Known::kMax == 48) {
          if (known.places[byte] != 0) child = &known.children[known.places[byte] - 1u];
        } else {
          child = &known.children[byte];
        }
        if (child == nullptr || !*child) continue;
        if (!use(static_cast<uint8_t>(byte), **child)) return false;
      }
    }
    return true;
  });
}

template <typename Visit>
bool Art::Frozen::VisitAll(const Entry& entry, const Visit& visit) {
  if (entry.kind == Entry::Kind::kItem) return visit(static_cast<const Item&>(entry));
  const auto& node = static_cast<const Node&>(entry);
  if (node.terminal && !visit(*node.terminal)) return false;
  return ForEachChild(node, 0, [&](uint8_t, const Entry& child) { return VisitAll(child, visit); });
}

template <typename Visit>
bool Art::Frozen::VisitFrom(const Entry& entry, std::string_view from, size_t depth,
                            const Visit& visit) {
  if (entry.kind == Entry::Kind::kItem) {
    const auto& item = static_cast<const Item&>(entry);
    return item.key() < from || visit(item);
  }
  const auto& node = static_cast<const Node&>(entry);
  const std::string_view rest = from.substr(depth);
  const int order = std::string_view(node.prefix).compare(rest.substr(0, node.prefix.size()));
  if (order < 0) return true;  // All of it is before `from`.
  if (order > 0 || rest.size() == node.prefix.size()) return VisitAll(entry, visit);
  const auto byte = static_cast<uint8_t>(rest[node.prefix.size()]);
  return ForEachChild(node, byte, [&](uint8_t at, const Entry& child) {
    return at == byte ? VisitFrom(child, from, depth + node.prefix.size() + 1, visit)
                      : VisitAll(child, visit);
  });
}

}  // namespace mokv::bench
