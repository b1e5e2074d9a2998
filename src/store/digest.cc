#include "store/digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace mokv::store {
namespace {

XXH128_hash_t HashOf(const ItemFields& item) {
  const XXH128_hash_t key = XXH3_128bits(item.key.data(), item.key.size());
  const XXH128_hash_t value = XXH3_128bits(item.value.data(), item.value.size());
  const uint64_t all[] = {key.low64,
                          key.high64,
                          value.low64,
                          value.high64,
                          item.create_revision.value(),
                          item.mod_revision.value(),
                          item.version,
                          item.lease.value()};
  return XXH3_128bits(all, sizeof(all));
}

}  // namespace

void Digest::Add(const ItemFields& item) {
  const XXH128_hash_t hash = HashOf(item);
  low += hash.low64;
  high += hash.high64;
}

void Digest::Remove(const ItemFields& item) {
  const XXH128_hash_t hash = HashOf(item);
  low -= hash.low64;
  high -= hash.high64;
}

}  // namespace mokv::store
