// HashIndex: finds a key's newest version in two cache misses: its bucket and the item itself.
//
// Extendible hashing (Fagin et al., 1979): the highest bits of a key's hash choose an entry of the
// directory, which names a segment. A segment is a run of buckets, one cache line each with eight
// slots, probed linearly; it grows in small steps, so that the slots' share of memory stays near
// their fill, and splits in two when it has reached its full size. No operation touches more than
// two segments and, when the directory doubles, the directory: nothing rehashes everything.
//
// Slot: 16 bits of the hash and the item's address. The 16 bits place an item within its segment,
// too, so that growing and merging segments looks at no item.
//
// Threads: one writer; Find is thread-safe inside an epoch. Buckets are changed slot by slot; what
//          must move (growth, splits) is copied, and the old copy retired.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "store/epochs.h"
#include "store/heap.h"
#include "store/item.h"

namespace mokv::store {

class HashIndex {
 public:
  // Begins with enough buckets for `expected_items`.
  HashIndex(Heap& heap, Epochs& epochs, uint64_t expected_items);
  ~HashIndex();
  HashIndex(const HashIndex&) = delete;
  HashIndex& operator=(const HashIndex&) = delete;

  // Salted, so that nobody outside can choose keys that collide.
  uint64_t Hash(std::string_view key) const;
  // The newest version of `key`, a tombstone included; null when there is none.
  const Item* Find(uint64_t hash, std::string_view key) const;
  // Fetches the bucket that Find will look at into the cache.
  void Prefetch(uint64_t hash) const;
  // Fetches the item that Find will look at. Waits for the bucket, so give that some time first.
  void PrefetchItem(uint64_t hash) const;

  // `item`'s key must not be there yet.
  void Insert(uint64_t hash, const Item& item);
  // `old_item` must be there.
  void Replace(uint64_t hash, const Item& old_item, const Item& new_item);
  void Erase(uint64_t hash, const Item& item);

 private:
  static constexpr size_t kSlotsInBucket = 8;

  struct alignas(Heap::kCacheLineBytes) Bucket {
    std::array<std::atomic<uint64_t>, kSlotsInBucket> slots;
  };
  static_assert(sizeof(Bucket) == Heap::kCacheLineBytes);

  // Followed by its buckets. Only the writer looks at the header.
  struct alignas(Heap::kCacheLineBytes) Segment {
    uint32_t depth;  // How many of the hash's highest bits its items share.
    uint32_t buckets;
    uint32_t used;     // Slots that hold an item.
    uint32_t removed;  // Slots that held one and have others behind them.

    Bucket* begin() { return reinterpret_cast<Bucket*>(this + 1); }
    const Bucket* begin() const { return reinterpret_cast<const Bucket*>(this + 1); }
  };
  // What a reader needs to know of a segment, in one word: the address and the number of buckets.
  class SegmentRef;

  struct Directory {
    uint64_t depth;
    std::atomic<uint64_t>* entries() { return reinterpret_cast<std::atomic<uint64_t>*>(this + 1); }
    const std::atomic<uint64_t>* entries() const {
      return reinterpret_cast<const std::atomic<uint64_t>*>(this + 1);
    }
    uint64_t size() const { return uint64_t{1} << depth; }
    // The entry for a hash.
    uint64_t Place(uint64_t hash) const { return depth == 0 ? 0 : hash >> (64 - depth); }
  };

  Segment* NewSegment(uint32_t depth, uint32_t buckets);
  Directory* NewDirectory(uint32_t depth);
  Directory& directory() const { return *directory_.load(std::memory_order_relaxed); }
  Segment& SegmentOf(uint64_t hash) const;
  static std::atomic<uint64_t>& SlotOf(Segment& segment, uint64_t hash, const Item& item);
  static bool HasRoom(const Segment& segment);
  static void Place(Segment& segment, uint64_t slot);
  static void CopyAll(const Segment& from, Segment& to);
  // Lets the directory name `segment` wherever it names the one at entry `place`.
  void Point(uint64_t place, Segment& segment);
  void MakeRoom(uint64_t hash);
  void Split(Segment& segment, uint64_t hash);
  void Resize(Segment& segment, uint64_t hash, uint32_t buckets);
  void DoubleDirectory();
  void Shrink(uint64_t hash);
  bool MergeWithBuddy(Segment& segment, uint64_t hash);
  void HalveDirectory();

  Heap& heap_;
  Epochs& epochs_;
  const uint64_t salt_;
  std::atomic<Directory*> directory_;
  uint64_t deepest_segments_ = 0;  // Those as deep as the directory; at 0 it may halve.
};

}  // namespace mokv::store
