#include "bench/store/key_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <numeric>

#include "base/check.h"
#include "base/random.h"

namespace mokv::bench {
namespace {

constexpr size_t kValuePoolBytes = 64 * 1024;

std::string MakeKey(KeyShape shape, uint64_t number) {
  if (shape == KeyShape::kSequence) return fmt::format("key-{:012}", number);
  // Multiplying by a number without a factor in common with the modulus reaches each residue once.
  constexpr uint64_t kModulus = 10'000'000'000'000'000;
  constexpr uint64_t kFactor = 6'180'339'887'498'949;
  static_assert(std::gcd(kModulus, kFactor) == 1);
  return fmt::format(
      "{:016}", static_cast<uint64_t>(static_cast<unsigned __int128>(number) * kFactor % kModulus));
}

}  // namespace

void KeyList::Sort() {
  using Key = std::array<char, kKeyBytes>;
  Key* const first = reinterpret_cast<Key*>(bytes_.data());
  std::sort(first, first + size());
}

KeySet::KeySet(size_t size, KeyShape shape, uint64_t seed) {
  MOKV_CHECK(size >= kRangeItems);
  sorted_.Reserve(size);
  for (size_t i = 0; i < size; ++i) sorted_.Add(MakeKey(shape, i + 1));
  sorted_.Sort();

  SeededRandom random(seed);
  std::vector<uint32_t> order(size);
  std::iota(order.begin(), order.end(), 0u);
  for (size_t i = size; i > 1; --i) std::swap(order[i - 1], order[random.Next() % i]);
  shuffled_.Reserve(size);
  for (const uint32_t at : order) shuffled_.Add(sorted_[at]);

  const size_t lookups = std::min(size, kLookupsMax);
  present_.Reserve(lookups);
  missing_.Reserve(lookups);
  for (size_t i = 0; i < lookups; ++i) present_.Add(sorted_[random.Next() % size]);
  for (size_t i = 0; i < lookups; ++i) {
    std::string key(sorted_[random.Next() % size]);
    key.back() = static_cast<char>(key.back() + ('a' - '0'));  // No longer a digit.
    missing_.Add(key);
  }

  // Sequence: two last digits make a hundred. Random: as many first digits as leave a hundred.
  prefix_bytes_ = kKeyBytes - 2;
  if (shape == KeyShape::kRandom) {
    prefix_bytes_ = 0;
    for (size_t left = size; left >= 10 * kRangeItems; left /= 10) ++prefix_bytes_;
  }

  while (values_.size() < kValuePoolBytes) {
    const uint64_t word = random.Next();
    for (size_t i = 0; i < sizeof(word); ++i) {
      values_.push_back(static_cast<char>('a' + (word >> (8 * i) & 0xff) % 26));
    }
  }
}

std::string_view KeySet::RangePrefix(size_t at) const {
  return present_[at % present_.size()].substr(0, prefix_bytes_);
}

}  // namespace mokv::bench
