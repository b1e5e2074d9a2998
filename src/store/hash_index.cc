#include "store/hash_index.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <new>

#include "base/check.h"
#include "base/random.h"

namespace mokv::store {
namespace {

// With the header, 4 to 8 KiB in steps that allocators have size classes for.
constexpr uint32_t kBucketsFirst = 3;
constexpr uint32_t kBucketsMin = 63;
constexpr uint32_t kBucketsStep = 16;
constexpr uint32_t kBucketsMax = 127;
// A split leaves a little less than half in each.
constexpr uint32_t kBucketsAfterSplit = 79;

// Slots in use, out of a hundred. Below this linear probing stays short.
constexpr uint32_t kFillPercentMax = 87;
// A segment that is filled less than this shrinks or merges.
constexpr uint32_t kFillPercentMin = 30;

constexpr uint64_t kEmpty = 0;
// The slot held an item, and others may lie behind it. No item has this address.
constexpr uint64_t kRemoved = 1;
constexpr unsigned kTagShift = 48;
constexpr uint64_t kAddressMask = (uint64_t{1} << kTagShift) - 1;

// Bits of the hash that are far from those that the directory uses.
uint64_t Tag(uint64_t hash) { return hash & 0xffff; }

uint64_t SlotFor(uint64_t hash, const Item& item) {
  const auto address = reinterpret_cast<uint64_t>(&item);
  MOKV_CHECK_EQ(address & ~kAddressMask, 0u);
  return Tag(hash) << kTagShift | address;
}

bool HoldsItem(uint64_t slot) { return slot > kRemoved; }
const Item& ItemIn(uint64_t slot) { return *reinterpret_cast<const Item*>(slot & kAddressMask); }

uint32_t HomeBucket(uint64_t tag, uint32_t buckets) {
  return static_cast<uint32_t>(tag * buckets >> 16);
}

uint32_t NextBucket(uint32_t bucket, uint32_t buckets) {
  return bucket + 1 == buckets ? 0 : bucket + 1;
}

}  // namespace

class HashIndex::SegmentRef {
 public:
  explicit SegmentRef(uint64_t word) : word_(word) {}
  explicit SegmentRef(Segment& segment)
      : word_(uint64_t{segment.buckets} << kTagShift | reinterpret_cast<uint64_t>(&segment)) {}

  uint64_t word() const { return word_; }
  uint32_t buckets() const { return static_cast<uint32_t>(word_ >> kTagShift); }
  Segment& segment() const { return *reinterpret_cast<Segment*>(word_ & kAddressMask); }

 private:
  uint64_t word_;
};

HashIndex::HashIndex(Heap& heap, Epochs& epochs, uint64_t expected_items)
    : heap_(heap), epochs_(epochs), salt_(NewSalt()) {
  constexpr uint64_t kItemsInFullSegment =
      uint64_t{kBucketsMax} * kSlotsInBucket * (kFillPercentMax - 10) / 100;
  const uint64_t segments = std::bit_ceil(expected_items / kItemsInFullSegment + 1);
  const auto depth = static_cast<uint32_t>(std::countr_zero(segments));
  // The number of segments is a power of two; their size makes up for the difference.
  const uint64_t wanted = expected_items / segments * 100 / kSlotsInBucket / (kFillPercentMax - 10);
  uint32_t buckets = expected_items == 0 ? kBucketsFirst : kBucketsMin;
  while (buckets < kBucketsMax && buckets < wanted) buckets += kBucketsStep;
  Directory* directory = NewDirectory(depth);
  for (uint64_t i = 0; i < directory->size(); ++i) {
    directory->entries()[i].store(SegmentRef(*NewSegment(depth, buckets)).word(),
                                  std::memory_order_relaxed);
  }
  deepest_segments_ = directory->size();
  directory_.store(directory, std::memory_order_release);
}

HashIndex::~HashIndex() {
  Directory& last = directory();
  for (uint64_t i = 0; i < last.size();) {
    Segment& segment = SegmentRef(last.entries()[i].load()).segment();
    i += uint64_t{1} << (last.depth - segment.depth);
    heap_.Free(&segment);
  }
  heap_.Free(&last);
}

HashIndex::Segment* HashIndex::NewSegment(uint32_t depth, uint32_t buckets) {
  auto* segment = new (heap_.AllocateLines(sizeof(Segment) + buckets * sizeof(Bucket)))
      Segment{depth, buckets, 0, 0};
  for (uint32_t i = 0; i < buckets; ++i) new (segment->begin() + i) Bucket{};
  return segment;
}

HashIndex::Directory* HashIndex::NewDirectory(uint32_t depth) {
  const uint64_t size = uint64_t{1} << depth;
  return new (heap_.Allocate(sizeof(Directory) + size * sizeof(uint64_t))) Directory{depth};
}

uint64_t HashIndex::Hash(std::string_view key) const {
  return XXH3_64bits_withSeed(key.data(), key.size(), salt_);
}

HashIndex::Segment& HashIndex::SegmentOf(uint64_t hash) const {
  Directory& now = directory();
  return SegmentRef(now.entries()[now.Place(hash)].load(std::memory_order_relaxed)).segment();
}

void HashIndex::Prefetch(uint64_t hash) const {
  const Directory& now = *directory_.load(std::memory_order_acquire);
  const SegmentRef ref(now.entries()[now.Place(hash)].load(std::memory_order_acquire));
  __builtin_prefetch(&ref.segment());
  __builtin_prefetch(ref.segment().begin() + HomeBucket(Tag(hash), ref.buckets()));
}

void HashIndex::PrefetchItem(uint64_t hash) const {
  const Directory& now = *directory_.load(std::memory_order_acquire);
  const SegmentRef ref(now.entries()[now.Place(hash)].load(std::memory_order_acquire));
  const uint64_t tag = Tag(hash);
  for (const std::atomic<uint64_t>& slot :
       ref.segment().begin()[HomeBucket(tag, ref.buckets())].slots) {
    const uint64_t word = slot.load(std::memory_order_acquire);
    if (word >> kTagShift != tag || !HoldsItem(word)) continue;
    const char* item = reinterpret_cast<const char*>(&ItemIn(word));
    __builtin_prefetch(item);
    __builtin_prefetch(item + Heap::kCacheLineBytes);
  }
}

const Item* HashIndex::Find(uint64_t hash, std::string_view key) const {
  const Directory& now = *directory_.load(std::memory_order_acquire);
  const SegmentRef ref(now.entries()[now.Place(hash)].load(std::memory_order_acquire));
  const Bucket* buckets = ref.segment().begin();
  const uint64_t tag = Tag(hash);
  uint32_t bucket = HomeBucket(tag, ref.buckets());
  for (uint32_t probes = 0; probes < ref.buckets(); ++probes) {
    bool ends_here = false;
    for (const std::atomic<uint64_t>& slot : buckets[bucket].slots) {
      const uint64_t word = slot.load(std::memory_order_acquire);
      if (word == kEmpty) ends_here = true;
      if (word >> kTagShift != tag || !HoldsItem(word)) continue;
      const Item& item = ItemIn(word);
      // The value is next, and usually in the line behind.
      __builtin_prefetch(reinterpret_cast<const char*>(&item) + Heap::kCacheLineBytes);
      if (item.key() == key) return &item;
    }
    if (ends_here) return nullptr;
    bucket = NextBucket(bucket, ref.buckets());
  }
  return nullptr;
}

std::atomic<uint64_t>& HashIndex::SlotOf(Segment& segment, uint64_t hash, const Item& item) {
  const uint64_t wanted = SlotFor(hash, item);
  uint32_t bucket = HomeBucket(Tag(hash), segment.buckets);
  for (uint32_t probes = 0; probes < segment.buckets; ++probes) {
    for (std::atomic<uint64_t>& slot : segment.begin()[bucket].slots) {
      if (slot.load(std::memory_order_relaxed) == wanted) return slot;
    }
    bucket = NextBucket(bucket, segment.buckets);
  }
  MOKV_CHECK(false && "an item that is not in the index");
  __builtin_unreachable();
}

bool HashIndex::HasRoom(const Segment& segment) {
  const uint64_t slots = uint64_t{segment.buckets} * kSlotsInBucket;
  return (uint64_t{segment.used} + segment.removed + 1) * 100 <= slots * kFillPercentMax;
}

void HashIndex::Place(Segment& segment, uint64_t word) {
  uint32_t bucket = HomeBucket(word >> kTagShift, segment.buckets);
  for (uint32_t probes = 0; probes < segment.buckets; ++probes) {
    for (std::atomic<uint64_t>& slot : segment.begin()[bucket].slots) {
      const uint64_t there = slot.load(std::memory_order_relaxed);
      if (HoldsItem(there)) continue;
      if (there == kRemoved) --segment.removed;
      ++segment.used;
      slot.store(word, std::memory_order_release);
      return;
    }
    bucket = NextBucket(bucket, segment.buckets);
  }
  MOKV_CHECK(false && "a segment without room");
}

void HashIndex::CopyAll(const Segment& from, Segment& to) {
  for (uint32_t i = 0; i < from.buckets; ++i) {
    for (const std::atomic<uint64_t>& slot : from.begin()[i].slots) {
      const uint64_t word = slot.load(std::memory_order_relaxed);
      if (HoldsItem(word)) Place(to, word);
    }
  }
}

void HashIndex::Point(uint64_t place, Segment& segment) {
  Directory& now = directory();
  const uint64_t count = uint64_t{1} << (now.depth - segment.depth);
  const uint64_t first = place & ~(count - 1);
  for (uint64_t i = first; i < first + count; ++i) {
    now.entries()[i].store(SegmentRef(segment).word(), std::memory_order_release);
  }
}

void HashIndex::Insert(uint64_t hash, const Item& item) {
  while (!HasRoom(SegmentOf(hash))) MakeRoom(hash);
  Place(SegmentOf(hash), SlotFor(hash, item));
}

void HashIndex::Replace(uint64_t hash, const Item& old_item, const Item& new_item) {
  SlotOf(SegmentOf(hash), hash, old_item).store(SlotFor(hash, new_item), std::memory_order_release);
}

void HashIndex::Erase(uint64_t hash, const Item& item) {
  Segment& segment = SegmentOf(hash);
  std::atomic<uint64_t>& slot = SlotOf(segment, hash, item);
  // No probe goes past a bucket that has an empty slot, so here one more may be empty.
  const size_t index = static_cast<size_t>(&slot - segment.begin()->slots.data()) / kSlotsInBucket;
  const auto& slots = segment.begin()[index].slots;
  const bool ends_here = std::any_of(slots.begin(), slots.end(), [](const auto& other) {
    return other.load(std::memory_order_relaxed) == kEmpty;
  });
  slot.store(ends_here ? kEmpty : kRemoved, std::memory_order_release);
  --segment.used;
  if (!ends_here) ++segment.removed;
  const uint64_t slots_in_all = uint64_t{segment.buckets} * kSlotsInBucket;
  if (segment.used * 100 < slots_in_all * kFillPercentMin) Shrink(hash);
}

void HashIndex::MakeRoom(uint64_t hash) {
  Segment& segment = SegmentOf(hash);
  // Many slots held items that were removed: a copy of the same size has room.
  if (uint64_t{segment.removed} * 8 > uint64_t{segment.buckets} * kSlotsInBucket) {
    return Resize(segment, hash, segment.buckets);
  }
  if (segment.buckets < kBucketsMin) {
    return Resize(segment, hash, std::min(kBucketsMin, segment.buckets * 2 + 1));
  }
  if (segment.buckets < kBucketsMax) {
    return Resize(segment, hash, segment.buckets + kBucketsStep);
  }
  Split(segment, hash);
}

void HashIndex::Resize(Segment& segment, uint64_t hash, uint32_t buckets) {
  Segment& copy = *NewSegment(segment.depth, buckets);
  CopyAll(segment, copy);
  Point(directory().Place(hash), copy);
  epochs_.Retire(&segment);
}

void HashIndex::Split(Segment& segment, uint64_t hash) {
  if (segment.depth == directory().depth) DoubleDirectory();
  const uint32_t depth = segment.depth + 1;
  Segment* halves[2] = {NewSegment(depth, kBucketsAfterSplit),
                        NewSegment(depth, kBucketsAfterSplit)};
  // A split needs more of the hash than a slot has, so it reads the items' keys. They are anywhere
  // in memory, and are fetched some buckets ahead of their use.
  const auto each = [&](uint32_t bucket, auto&& visit) {
    if (bucket >= segment.buckets) return;
    for (const std::atomic<uint64_t>& slot : segment.begin()[bucket].slots) {
      const uint64_t word = slot.load(std::memory_order_relaxed);
      if (HoldsItem(word)) visit(word);
    }
  };
  constexpr uint32_t kBucketsAhead = 2;
  const auto prefetch = [](uint64_t word) { __builtin_prefetch(&ItemIn(word)); };
  for (uint32_t i = 0; i < kBucketsAhead; ++i) each(i, prefetch);
  for (uint32_t i = 0; i < segment.buckets; ++i) {
    each(i + kBucketsAhead, prefetch);
    each(i, [&](uint64_t word) {
      const uint64_t bit = Hash(ItemIn(word).key()) >> (64 - depth) & 1;
      Segment*& half = halves[bit];
      if (!HasRoom(*half)) {
        // An uneven split; nobody has seen this half yet.
        Segment* larger = NewSegment(depth, half->buckets + kBucketsStep);
        CopyAll(*half, *larger);
        heap_.Free(half);
        half = larger;
      }
      Place(*half, word);
    });
  }
  Directory& now = directory();
  const uint64_t count = uint64_t{1} << (now.depth - depth);
  const uint64_t first = now.Place(hash) & ~(2 * count - 1);
  Point(first, *halves[0]);
  Point(first + count, *halves[1]);
  if (depth == now.depth) deepest_segments_ += 2;
  epochs_.Retire(&segment);
}

void HashIndex::DoubleDirectory() {
  Directory& old = directory();
  MOKV_CHECK_LT(old.depth, 48u);
  Directory* twice = NewDirectory(static_cast<uint32_t>(old.depth) + 1);
  for (uint64_t i = 0; i < twice->size(); ++i) {
    twice->entries()[i].store(old.entries()[i / 2].load(std::memory_order_relaxed),
                              std::memory_order_relaxed);
  }
  directory_.store(twice, std::memory_order_release);
  deepest_segments_ = 0;
  epochs_.Retire(&old);
}

void HashIndex::Shrink(uint64_t hash) {
  Segment& segment = SegmentOf(hash);
  if (MergeWithBuddy(segment, hash)) return;
  if (segment.buckets <= kBucketsFirst) return;
  if (segment.buckets <= kBucketsMin) {
    // Only the last segment that is left gets smaller than this: a small store is small.
    if (directory().depth == 0) Resize(segment, hash, std::max(kBucketsFirst, segment.buckets / 2));
    return;
  }
  Resize(segment, hash, segment.buckets - kBucketsStep);
}

bool HashIndex::MergeWithBuddy(Segment& segment, uint64_t hash) {
  if (segment.depth == 0) return false;
  Directory& now = directory();
  const uint64_t count = uint64_t{1} << (now.depth - segment.depth);
  const uint64_t buddy_place = (now.Place(hash) & ~(count - 1)) ^ count;
  Segment& buddy = SegmentRef(now.entries()[buddy_place].load(std::memory_order_relaxed)).segment();
  const uint64_t slots = uint64_t{kBucketsMin} * kSlotsInBucket;
  // Merges only if the result is far from being split again.
  if (buddy.depth != segment.depth ||
      (uint64_t{segment.used} + buddy.used) * 100 > slots * (kFillPercentMax - 20)) {
    return false;
  }
  Segment& merged = *NewSegment(segment.depth - 1, kBucketsMin);
  CopyAll(segment, merged);
  CopyAll(buddy, merged);
  Point(now.Place(hash), merged);
  if (segment.depth == now.depth) deepest_segments_ -= 2;
  epochs_.Retire(&segment);
  epochs_.Retire(&buddy);
  while (directory().depth > 0 && deepest_segments_ == 0) HalveDirectory();
  return true;
}

void HashIndex::HalveDirectory() {
  Directory& old = directory();
  Directory* half = NewDirectory(static_cast<uint32_t>(old.depth) - 1);
  for (uint64_t i = 0; i < half->size(); ++i) {
    const uint64_t word = old.entries()[2 * i].load(std::memory_order_relaxed);
    half->entries()[i].store(word, std::memory_order_relaxed);
    if (SegmentRef(word).segment().depth == half->depth) ++deepest_segments_;
  }
  directory_.store(half, std::memory_order_release);
  epochs_.Retire(&old);
}

}  // namespace mokv::store
