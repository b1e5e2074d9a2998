// The form of a policy file: one rule a line, its fields between commas. What they mean:
// auth/policy.h.
//
// Lines that are empty or begin with `#` are comments. White space around a field does not belong
// to it, unless the field is in double quotes (RFC 4180; a field cannot go on over the end of its
// line). Commas within round brackets do not end a field: rules for eval() have them. White space around such
// a comma goes. Pure function.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

namespace mokv::auth {

struct CsvLine {
  int line = 0;
  std::vector<std::string> fields;  // At least one.

  bool operator==(const CsvLine&) const = default;
};

// INVALID_ARGUMENT for anything else. The message begins with `name` and the line.
absl::StatusOr<std::vector<CsvLine>> ParseCsv(std::string_view text, std::string_view name);

}  // namespace mokv::auth
