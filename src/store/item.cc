#include "store/item.h"

#include <limits>
#include <new>

#include "base/check.h"

namespace mokv::store {

Item* ItemAccess::Make(Heap& heap, const ItemFields& fields, const Item* previous) {
  const bool first_write =
      fields.version == 1 && fields.create_revision == fields.mod_revision && previous == nullptr;
  uint64_t flags = 0;
  if (!first_write) flags |= Item::kHistory;
  if (fields.lease != LeaseId(0)) flags |= Item::kLease;
  return Make(heap, fields, flags, previous);
}

Item* ItemAccess::MakeTombstone(Heap& heap, std::string_view key, Revision revision,
                                const Item* previous) {
  return Make(heap, {.key = key, .mod_revision = revision}, Item::kTombstone | Item::kHistory,
              previous);
}

Item* ItemAccess::Make(Heap& heap, const ItemFields& fields, uint64_t flags, const Item* previous) {
  constexpr size_t kLengthMax = std::numeric_limits<uint32_t>::max();
  MOKV_CHECK_LE(fields.key.size(), kLengthMax);
  MOKV_CHECK_LE(fields.value.size(), kLengthMax);
  MOKV_CHECK_LE(fields.mod_revision, kRevisionMax);
  const size_t words =
      ((flags & Item::kHistory) ? Item::kHistoryWords : 0) + ((flags & Item::kLease) ? 1 : 0);
  void* memory = heap.Allocate(sizeof(Item) + words * sizeof(uint64_t) + fields.key.size() +
                               fields.value.size());
  Item* item = new (memory)
      Item(fields.mod_revision.value() << Item::kFlagBits | flags,
           static_cast<uint32_t>(fields.value.size()), static_cast<uint32_t>(fields.key.size()));
  auto* next = reinterpret_cast<uint64_t*>(item + 1);
  if (flags & Item::kHistory) {
    *next++ = reinterpret_cast<uint64_t>(previous);
    *next++ = fields.create_revision.value();
    *next++ = fields.version;
  }
  if (flags & Item::kLease) *next++ = fields.lease.value();
  char* bytes = reinterpret_cast<char*>(next);
  // Sizes of 0 come with pointers that memcpy must not see.
  if (!fields.key.empty()) std::memcpy(bytes, fields.key.data(), fields.key.size());
  if (!fields.value.empty()) {
    std::memcpy(bytes + fields.key.size(), fields.value.data(), fields.value.size());
  }
  return item;
}

}  // namespace mokv::store
