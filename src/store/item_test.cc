#include "store/item.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <string>

namespace mokv::store {
namespace {

RC_GTEST_PROP(Item, SaysWhatItWasMadeOf, ()) {
  const auto key = *rc::gen::arbitrary<std::string>();
  const auto value = *rc::gen::arbitrary<std::string>();
  const auto create = *rc::gen::inRange<uint64_t>(1, uint64_t{1} << 40);
  const auto later = *rc::gen::inRange<uint64_t>(0, 3);
  const auto version = *rc::gen::inRange<uint64_t>(1, 4);
  const auto lease = *rc::gen::element<uint64_t>(0, 7, ~uint64_t{0});
  Heap heap;
  Item* before = ItemAccess::Make(heap, {"k", "v", Revision(1), Revision(1), 1}, nullptr);
  const Item* previous = *rc::gen::element<const Item*>(nullptr, before);
  Item* item = ItemAccess::Make(
      heap, {key, value, Revision(create), Revision(create + later), version, LeaseId(lease)},
      previous);
  RC_ASSERT(item->key() == key);
  RC_ASSERT(item->value() == value);
  RC_ASSERT(item->create_revision() == Revision(create));
  RC_ASSERT(item->mod_revision() == Revision(create + later));
  RC_ASSERT(item->version() == version);
  RC_ASSERT(item->lease() == LeaseId(lease));
  RC_ASSERT(ItemAccess::Previous(*item) == previous);
  RC_ASSERT(!ItemAccess::IsTombstone(*item));
  heap.Free(item);
  heap.Free(before);
  RC_ASSERT(heap.used_bytes() == 0u);
}

TEST(Item, FirstWriteCostsSixteenBytes) {
  Heap heap;
  const std::string key(16, 'k');
  const std::string value(64, 'v');
  Item* item = ItemAccess::Make(heap, {key, value, Revision(9), Revision(9), 1}, nullptr);
  // The allocator's rounding, at most.
  EXPECT_LE(heap.used_bytes(), 16 + 16 + 64 + 16u);
  heap.Free(item);
}

// Goal: a reader sees the version of its revision, whatever is in front of it.
TEST(Item, VisibleVersionIsTheNewestThatIsNotNewer) {
  Heap heap;
  Item* first = ItemAccess::Make(heap, {"k", "1", Revision(2), Revision(2), 1}, nullptr);
  Item* second = ItemAccess::Make(heap, {"k", "2", Revision(2), Revision(4), 2}, first);
  Item* gone = ItemAccess::MakeTombstone(heap, "k", Revision(6), second);
  Item* again = ItemAccess::Make(heap, {"k", "3", Revision(8), Revision(8), 1}, gone);
  const Item* expected[] = {nullptr, nullptr, first,   first, second,
                            second,  nullptr, nullptr, again, again};
  for (uint64_t revision = 0; revision < std::size(expected); ++revision) {
    EXPECT_EQ(ItemAccess::VisibleAt(again, Revision(revision)), expected[revision]) << revision;
  }
  EXPECT_EQ(ItemAccess::VisibleAt(nullptr, Revision(9)), nullptr);
  for (Item* item : {first, second, gone, again}) heap.Free(item);
}

}  // namespace
}  // namespace mokv::store
