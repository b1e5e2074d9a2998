// Item: a key and its value in one block of memory, behind a header as large as the product's.
#pragma once

#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>

#include "base/check.h"
#include "bench/store/candidates/ref.h"

namespace mokv::bench {

// What a slot of the radix tree can hold: an item, or a node of one of the four sizes.
struct Entry : Counted {
  enum class Kind : uint8_t { kItem, kNode4, kNode16, kNode48, kNode256 };
  explicit Entry(Kind the_kind) : kind(the_kind) {}
  static void Destroy(Entry* entry);

  const Kind kind;
};

// Immutable.
class Item final : public Entry {
 public:
  static Ref<Item> Make(std::string_view key, std::string_view value) {
    void* block = ::operator new(sizeof(Item) + key.size() + value.size());
    return Ref<Item>(new (block) Item(key, value));
  }
  static void Destroy(Item* item) {
    item->~Item();
    ::operator delete(item);
  }

  std::string_view key() const { return {bytes(), key_size_}; }
  std::string_view value() const { return {bytes() + key_size_, value_size_}; }

 private:
  Item(std::string_view key, std::string_view value)
      : Entry(Kind::kItem),
        key_size_(static_cast<uint32_t>(key.size())),
        value_size_(static_cast<uint32_t>(value.size())) {
    char* to = reinterpret_cast<char*>(this + 1);
    std::memcpy(to, key.data(), key.size());
    std::memcpy(to + key.size(), value.data(), value.size());
  }
  ~Item() = default;
  const char* bytes() const { return reinterpret_cast<const char*>(this + 1); }

  const uint32_t key_size_;
  const uint32_t value_size_;
};
static_assert(sizeof(Item) == 16);

}  // namespace mokv::bench
