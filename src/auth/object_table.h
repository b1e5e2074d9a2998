// ObjectTable: which rules match an object, for rules that name one object or all that begin with a
// prefix.
//
// Threads: confined until Seal, immutable after that.
// Cost:    Find is one hash look-up and a binary search, however many rules there are.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "auth/effect.h"

namespace mokv::auth {

class ObjectTable {
 public:
  // Texts are borrowed. `rank` is that of the rule (auth/effect.h).
  void AddExact(std::string_view object, uint32_t rank, bool denies);
  void AddPrefix(std::string_view prefix, uint32_t rank, bool denies);
  void Seal();

  Firsts Find(std::string_view object) const;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Prefix {
    std::string_view text;
    uint32_t shorter = kNone;  // The longest other prefix that this one begins with.
    Firsts firsts;             // Of this one and of all that it begins with.
  };

  absl::flat_hash_map<std::string_view, Firsts, std::hash<std::string_view>> exact_;
  std::vector<Prefix> prefixes_;  // Sorted, each once.
};

}  // namespace mokv::auth
