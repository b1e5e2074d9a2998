// What clients saw of a key-value store, and how it is read from JSON lines:
//
//   {"client":1,"op":"get|set|delete|cas","key":"k","value":"v","expected":"e","ok":true,
//    "start":1,"end":9}
//
// Times are integers of any unit. A get's value is null (or absent) when the key was missing. `ok`
// true: done as asked. False: certainly not done; of a cas that the comparison was made and failed.
// Null: unknown, and then `end` may be null, too. Keys begin missing. A cas may expect null.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mokv::lincheck {

enum class Kind { kGet, kSet, kDelete, kCas };
enum class Outcome { kDone, kNotDone, kUnknown };

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

struct Operation {
  std::string client;
  Kind kind = Kind::kGet;
  std::string key;
  std::optional<std::string> value;     // Read or written.
  std::optional<std::string> expected;  // Of a cas.
  Outcome outcome = Outcome::kDone;
  int64_t start = 0;
  int64_t end = kNever;  // kNever: no answer came.
};

// INVALID_ARGUMENT, naming the line (from 1) and what is wrong with it. Empty lines are skipped.
absl::StatusOr<std::vector<Operation>> ParseHistory(std::string_view json_lines);

// As ParseHistory reads it, without the line's end.
std::string ToJson(const Operation& operation);

// One line for people.
std::string ToString(const Operation& operation);

}  // namespace mokv::lincheck
