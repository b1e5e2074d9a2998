#include "bench/store/candidates/art.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace mokv::bench {
namespace {

size_t CommonPrefix(std::string_view a, std::string_view b) {
  const auto differ = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<size_t>(differ.first - a.begin());
}

uint8_t ByteAt(std::string_view key, size_t at) { return static_cast<uint8_t>(key[at]); }

}  // namespace

void Entry::Destroy(Entry* entry) {
  switch (entry->kind) {
    case Kind::kItem:
      return Item::Destroy(static_cast<Item*>(entry));
    case Kind::kNode4:
      delete static_cast<Art::Node4*>(entry);
      return;
    case Kind::kNode16:
      delete static_cast<Art::Node16*>(entry);
      return;
    case Kind::kNode48:
      delete static_cast<Art::Node48*>(entry);
      return;
    case Kind::kNode256:
      delete static_cast<Art::Node256*>(entry);
      return;
  }
}

Ref<Entry>* Art::ChildAt(Entry& node, uint8_t byte) {
  return WithKind(node, [byte](auto& known) -> Ref<Entry>* {
    using Known = std::remove_cvref_t<decltype(known)>;
    if constexpr (Known::kMax <= 16) {
      for (size_t i = 0; i < known.count; ++i) {
        if (known.bytes[i] == byte) return &known.children[i];
      }
      return nullptr;
    } else if constexpr (Known::kMax == 48) {
      return known.places[byte] == 0 ? nullptr : &known.children[known.places[byte] - 1u];
    } else {
      return known.children[byte] ? &known.children[byte] : nullptr;
    }
  });
}

// Prefixes are skipped and not compared: the item's whole key is, at the end.
const Item* Art::Frozen::Find(std::string_view key) const {
  Entry* entry = root_.get();
  size_t depth = 0;
  while (entry != nullptr && entry->kind != Entry::Kind::kItem) {
    auto* node = static_cast<Node*>(entry);
    depth += node->prefix.size();
    if (depth >= key.size()) {
      entry = node->terminal.get();
      break;
    }
    Ref<Entry>* child = ChildAt(*node, ByteAt(key, depth++));
    entry = child == nullptr ? nullptr : child->get();
  }
  if (entry == nullptr) return nullptr;
  const auto* item = static_cast<const Item*>(entry);
  return item->key() == key ? item : nullptr;
}

Art::Node* Art::Own(Ref<Entry>& slot) {
  if (static_cast<Node&>(*slot).epoch != epoch_) {
    slot = WithKind(std::as_const(*slot), [this](const auto& known) {
      using Known = std::remove_cvref_t<decltype(known)>;
      return Ref<Entry>(new Known(known, epoch_));
    });
  }
  return static_cast<Node*>(slot.get());
}

void Art::Insert(Ref<Entry>& slot, Ref<Item> item, size_t depth) {
  const std::string_view key = item->key();
  if (!slot) {
    slot = std::move(item);
    return;
  }
  if (slot->kind == Entry::Kind::kItem) {
    Ref<Item> old(static_cast<Item*>(slot.get()));
    if (old->key() == key) {
      slot = std::move(item);
      return;
    }
    const size_t common = CommonPrefix(old->key().substr(depth), key.substr(depth));
    slot = Ref<Entry>(new Node4(epoch_));
    static_cast<Node&>(*slot).prefix = key.substr(depth, common);
    AddItem(slot, std::move(old), depth + common);
    AddItem(slot, std::move(item), depth + common);
    return;
  }
  Node* node = Own(slot);
  const size_t common = CommonPrefix(node->prefix, key.substr(depth));
  if (common < node->prefix.size()) {
    // The key leaves the path here: a fork above what is left of the prefix.
    Ref<Entry> below = std::move(slot);
    const uint8_t byte = ByteAt(node->prefix, common);
    slot = Ref<Entry>(new Node4(epoch_));
    static_cast<Node&>(*slot).prefix = node->prefix.substr(0, common);
    node->prefix.erase(0, common + 1);
    AddChild(slot, byte, std::move(below));
    AddItem(slot, std::move(item), depth + common);
    return;
  }
  depth += common;
  Ref<Entry>* child = depth == key.size() ? nullptr : ChildAt(*node, ByteAt(key, depth));
  if (child == nullptr) {
    AddItem(slot, std::move(item), depth);
  } else {
    Insert(*child, std::move(item), depth + 1);
  }
}

// `depth`: of the byte in the key that chooses the child.
void Art::AddItem(Ref<Entry>& slot, Ref<Item> item, size_t depth) {
  const std::string_view key = item->key();
  if (depth == key.size()) {
    static_cast<Node&>(*slot).terminal = std::move(item);
  } else {
    AddChild(slot, ByteAt(key, depth), std::move(item));
  }
}

template <typename Larger, typename Smaller>
Ref<Entry> Art::Grown(Smaller& node) {
  Ref<Entry> larger(new Larger(epoch_));
  auto& to = static_cast<Larger&>(*larger);
  to.prefix = std::move(node.prefix);
  to.terminal = std::move(node.terminal);
  ForEachChild(node, 0, [&](uint8_t byte, Entry& child) {
    AddChild(larger, byte, Ref<Entry>(&child));
    return true;
  });
  return larger;
}

void Art::AddChild(Ref<Entry>& slot, uint8_t byte, Ref<Entry> child) {
  const bool added = WithKind(*slot, [&](auto& node) {
    using Known = std::remove_cvref_t<decltype(node)>;
    if constexpr (Known::kMax == 256) {
      node.children[byte] = std::move(child);
    } else {
      if (node.count == Known::kMax) return false;
      if constexpr (Known::kMax == 48) {
        size_t at = 0;  // Any that is free.
        while (node.children[at]) ++at;
        node.children[at] = std::move(child);
        node.places[byte] = static_cast<uint8_t>(at + 1);
      } else {
        size_t at = node.count;
        for (; at > 0 && node.bytes[at - 1] > byte; --at) {
          node.bytes[at] = node.bytes[at - 1];
          node.children[at] = std::move(node.children[at - 1]);
        }
        node.bytes[at] = byte;
        node.children[at] = std::move(child);
      }
    }
    ++node.count;
    return true;
  });
  if (added) return;
  switch (slot->kind) {
    case Entry::Kind::kNode4:
      slot = Grown<Node16>(static_cast<Node4&>(*slot));
      break;
    case Entry::Kind::kNode16:
      slot = Grown<Node48>(static_cast<Node16&>(*slot));
      break;
    default:
      slot = Grown<Node256>(static_cast<Node48&>(*slot));
  }
  AddChild(slot, byte, std::move(child));
}

bool Art::Erase(std::string_view key) {
  // Looked up first, so that erasing nothing copies nothing.
  if (Frozen(root_).Find(key) == nullptr) return false;
  Remove(root_, key, 0);
  return true;
}

// The key is there.
void Art::Remove(Ref<Entry>& slot, std::string_view key, size_t depth) {
  if (slot->kind == Entry::Kind::kItem) {
    slot = {};
    return;
  }
  Node* node = Own(slot);
  depth += node->prefix.size();
  if (depth == key.size()) {
    node->terminal = {};
  } else {
    const uint8_t byte = ByteAt(key, depth);
    Ref<Entry>* child = ChildAt(*node, byte);
    MOKV_CHECK(child != nullptr);
    Remove(*child, key, depth + 1);
    if (!*child) RemoveChild(*node, byte);
  }
  Compress(slot);
}

void Art::RemoveChild(Node& node, uint8_t byte) {
  WithKind(node, [byte](auto& known) {
    using Known = std::remove_cvref_t<decltype(known)>;
    --known.count;
    if constexpr (Known::kMax == 48) {
      known.children[known.places[byte] - 1u] = {};
      known.places[byte] = 0;
    } else if constexpr (Known::kMax <= 16) {
      size_t at = 0;
      while (known.bytes[at] != byte) ++at;
      for (; at < known.count; ++at) {
        known.bytes[at] = known.bytes[at + 1];
        known.children[at] = std::move(known.children[at + 1]);
      }
      known.children[at] = {};
    }
  });
}

// A node without a fork is no node.
void Art::Compress(Ref<Entry>& slot) {
  auto& node = static_cast<Node&>(*slot);
  if (node.count == 0) {
    slot = Ref<Item>(node.terminal);
    return;
  }
  if (node.count > 1 || node.terminal) return;
  Ref<Entry> child;
  uint8_t byte = 0;
  ForEachChild(node, 0, [&](uint8_t at, Entry& only) {
    byte = at;
    child = Ref<Entry>(&only);
    return true;
  });
  if (child->kind != Entry::Kind::kItem) {
    Node* below = Own(child);
    below->prefix = node.prefix + static_cast<char>(byte) + below->prefix;
  }
  slot = std::move(child);
}

}  // namespace mokv::bench
