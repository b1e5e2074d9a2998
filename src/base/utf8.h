// UTF-8, where bytes of unknown origin are shown or checked. Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace mokv {

// Whether `text` is well-formed UTF-8 (Unicode 15, table 3-7): no overlong forms, no surrogates.
bool IsUtf8(std::string_view text);

// Length of the well-formed sequence at the start of `text`; 0 when there is none.
size_t Utf8SequenceLength(std::string_view text);

// For messages: in quotes, with escapes for all that is not printable ASCII. (The formatting library's
// own `{:?}`, of version 9, reads past the end of bytes that are no UTF-8.)
std::string Quoted(std::string_view bytes);

}  // namespace mokv
