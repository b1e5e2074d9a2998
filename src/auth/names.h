// Names: a number for each text that a policy names, so that rules compare and look up numbers.
//
// Threads: confined while a policy is compiled, immutable after that.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>

namespace mokv::auth {

class Names {
 public:
  using Id = uint32_t;
  static constexpr Id kNone = UINT32_MAX;

  Id Add(std::string_view text) {
    const auto found = ids_.find(text);
    if (found != ids_.end()) return found->second;
    const Id id = static_cast<Id>(texts_.size());
    ids_.emplace(texts_.emplace_back(text), id);
    return id;
  }

  // kNone for a text that no rule names.
  Id Find(std::string_view text) const {
    const auto found = ids_.find(text);
    return found == ids_.end() ? kNone : found->second;
  }

  const std::string& TextOf(Id id) const { return texts_[id]; }

 private:
  std::deque<std::string> texts_;  // Does not move what the map looks at.
  absl::flat_hash_map<std::string_view, Id, std::hash<std::string_view>> ids_;
};

}  // namespace mokv::auth
