// Item: one version of one key, as readers see it. One allocation holds everything:
//
//   modify revision (56 bits) and flags (8) | value length (32) | key length (32)
//   [previous version | create revision | version]   unless this is a key's first write
//   [lease id]                                       if there is one
//   key, value
//
// so that an item that was written once costs 16 bytes beyond its key and value.
//
// Threads:  immutable, but for the pointer to the previous version, which is atomic. Any thread may
//           read an item while its pointer is valid; whoever gives the pointer says how long that
//           is. The store's writer makes and frees items.
// Versions: a version points to the one before it while a view, or a reader of the state before the
//           newest publication, may look for that one. A deletion is a version too, a tombstone:
//           whoever sees it does not find the key.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/ids.h"
#include "store/heap.h"

namespace mokv::store {

// The fields of an item. The texts are borrowed.
struct ItemFields {
  std::string_view key;
  std::string_view value;
  Revision create_revision{};
  Revision mod_revision{};
  uint64_t version = 0;  // Writes since the key was created; 1 for the first.
  LeaseId lease{};
};

// The largest that fits beside the flags. A thousand million revisions a second last two years.
constexpr Revision kRevisionMax{(uint64_t{1} << 56) - 1};

class Item {
 public:
  Item(const Item&) = delete;
  Item& operator=(const Item&) = delete;

  std::string_view key() const { return {KeyBytes(), key_bytes_}; }
  std::string_view value() const { return {KeyBytes() + key_bytes_, value_bytes_}; }
  Revision create_revision() const {
    return Has(kHistory) ? Revision(Word(kCreateWord)) : mod_revision();
  }
  Revision mod_revision() const { return Revision(revision_and_flags_ >> kFlagBits); }
  uint64_t version() const { return Has(kHistory) ? Word(kVersionWord) : 1; }
  LeaseId lease() const {
    return LeaseId(Has(kLease) ? Word(Has(kHistory) ? kHistoryWords : 0) : 0);
  }

  ItemFields fields() const {
    return {key(), value(), create_revision(), mod_revision(), version(), lease()};
  }

 private:
  friend class ItemAccess;

  static constexpr unsigned kFlagBits = 8;
  enum Flag : uint8_t { kHistory = 1, kLease = 2, kTombstone = 4 };
  // Words behind the header, with kHistory.
  static constexpr size_t kPreviousWord = 0;
  static constexpr size_t kCreateWord = 1;
  static constexpr size_t kVersionWord = 2;
  static constexpr size_t kHistoryWords = 3;

  Item(uint64_t revision_and_flags, uint32_t value_bytes, uint32_t key_bytes)
      : revision_and_flags_(revision_and_flags), value_bytes_(value_bytes), key_bytes_(key_bytes) {}

  bool Has(Flag flag) const { return (revision_and_flags_ & flag) != 0; }
  const uint64_t* Words() const { return reinterpret_cast<const uint64_t*>(this + 1); }
  uint64_t Word(size_t index) const { return Words()[index]; }
  const char* KeyBytes() const {
    const size_t words = (Has(kHistory) ? kHistoryWords : 0) + (Has(kLease) ? 1 : 0);
    return reinterpret_cast<const char*>(Words() + words);
  }

  const uint64_t revision_and_flags_;
  const uint32_t value_bytes_;
  const uint32_t key_bytes_;
};

static_assert(sizeof(Item) == 16);

// What only the store does with items. Make is for its writer; the rest is thread-safe.
class ItemAccess {
 public:
  // `previous` may be null. Fields that a first write implies take no space.
  static Item* Make(Heap& heap, const ItemFields& fields, const Item* previous);
  static Item* MakeTombstone(Heap& heap, std::string_view key, Revision revision,
                             const Item* previous);

  static bool IsTombstone(const Item& item) { return item.Has(Item::kTombstone); }
  static const Item* Previous(const Item& item) {
    if (!item.Has(Item::kHistory)) return nullptr;
    return reinterpret_cast<const Item*>(PreviousWord(item).load(std::memory_order_acquire));
  }
  static void SetPrevious(const Item& item, const Item* previous) {
    PreviousWord(item).store(reinterpret_cast<uint64_t>(previous), std::memory_order_release);
  }

  // The version of `newest`'s key that a reader at `revision` sees; null when it sees none.
  static const Item* VisibleAt(const Item* newest, Revision revision) {
    while (newest != nullptr && newest->mod_revision() > revision) newest = Previous(*newest);
    return newest == nullptr || IsTombstone(*newest) ? nullptr : newest;
  }

 private:
  static Item* Make(Heap& heap, const ItemFields& fields, uint64_t flags, const Item* previous);
  static std::atomic_ref<uint64_t> PreviousWord(const Item& item) {
    return std::atomic_ref<uint64_t>(
        const_cast<uint64_t&>(item.Words()[Item::kPreviousWord]));  // The one mutable word.
  }
};

}  // namespace mokv::store
