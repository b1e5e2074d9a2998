// Truth: yes, no, or not known, as in Kleene's logic: an expression is not known only if it could
// come out either way.
//
// Not known are: what ipMatch says of a text that is no address; what expressions say of one that is not
// UTF-8; the part of a path that keyGet2 looks for, where there is none; a text that is joined and longer
// than kJoinedBytesMax; and everything that depends on an object while one asks for all of them
// (auth/ranges.h). The order of operands does not matter to the result, so rules may be sorted, grouped
// and looked up in any order.
#pragma once

#include <cstdint>

namespace mokv::auth {

enum class Truth : uint8_t { kFalse, kTrue, kUnknown };

inline Truth ToTruth(bool value) { return value ? Truth::kTrue : Truth::kFalse; }

inline Truth Not(Truth value) {
  if (value == Truth::kUnknown) return value;
  return value == Truth::kTrue ? Truth::kFalse : Truth::kTrue;
}

}  // namespace mokv::auth
