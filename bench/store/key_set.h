// KeySet: the keys of one run, made before anything is timed and shared by all contenders: in the
// order of insertion, in ascending order, and as sequences of look-ups.
//
// Immutable; thread-safe. Keys are 16 bytes, packed; the views returned live as long as the set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mokv::bench {

enum class KeyShape {
  kSequence,  // "key-000000000042": a common prefix, dense.
  kRandom,    // Sixteen decimal digits, spread evenly.
};

constexpr size_t kKeyBytes = 16;
constexpr size_t kValueBytes = 64;

// Packed keys of equal size.
class KeyList {
 public:
  void Reserve(size_t count) { bytes_.reserve(count * kKeyBytes); }
  void Add(std::string_view key) { bytes_.insert(bytes_.end(), key.begin(), key.end()); }
  size_t size() const { return bytes_.size() / kKeyBytes; }
  std::string_view operator[](size_t at) const {
    return {bytes_.data() + at * kKeyBytes, kKeyBytes};
  }
  void Sort();

 private:
  std::vector<char> bytes_;
};

class KeySet {
 public:
  KeySet(size_t size, KeyShape shape, uint64_t seed);

  size_t size() const { return shuffled_.size(); }
  // Every key once, shuffled.
  const KeyList& shuffled() const { return shuffled_; }
  // Every key once, ascending.
  const KeyList& sorted() const { return sorted_; }
  // Keys drawn at random, in the order in which they are asked for, so that reading the list itself
  // misses no cache. At most kLookupsMax.
  const KeyList& present() const { return present_; }
  // The same with keys that are not in the set but lie between those that are.
  const KeyList& missing() const { return missing_; }
  // The first bytes of a key, under which there are about kRangeItems keys.
  std::string_view RangePrefix(size_t at) const;

  // 64 bytes that differ from one `salt` to the next.
  std::string_view Value(size_t salt) const {
    return {values_.data() + salt * 7 % (values_.size() - kValueBytes), kValueBytes};
  }

  static constexpr size_t kLookupsMax = 2'000'000;
  static constexpr size_t kRangeItems = 100;

 private:
  KeyList sorted_;
  KeyList shuffled_;
  KeyList present_;
  KeyList missing_;
  size_t prefix_bytes_ = 0;
  std::string values_;
};

}  // namespace mokv::bench
