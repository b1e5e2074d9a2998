// Operations: what can be asked of the store. Plain values.
#pragma once

#include <absl/container/inlined_vector.h>

#include <optional>
#include <string>
#include <variant>

#include "base/ids.h"

namespace mokv::store {

struct Set {
  std::string key;
  std::string value;
  // Apply only if the item's mod_revision is this; 0: only if the key does not exist.
  std::optional<Revision> expected_revision{};
};

struct Delete {
  std::string key;
  std::optional<Revision> expected_revision{};
};

using Operation = std::variant<Set, Delete>;

// Operations that are applied together, as one revision. If the condition of one does not hold,
// none is applied. No key may occur twice.
using Transaction = absl::InlinedVector<Operation, 1>;

inline const std::string& KeyOf(const Operation& operation) {
  return std::visit([](const auto& known) -> const std::string& { return known.key; }, operation);
}

inline std::optional<Revision> ExpectedOf(const Operation& operation) {
  return std::visit([](const auto& known) { return known.expected_revision; }, operation);
}

}  // namespace mokv::store
