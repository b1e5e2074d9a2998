// JSON output for logs and tools: strings escaped, bytes that are not UTF-8 replaced. Pure
// functions.
#pragma once

#include <string>
#include <string_view>

namespace mokv {

// `text` as a JSON string, quotes included. Invalid UTF-8 becomes U+FFFD.
std::string JsonString(std::string_view text);

}  // namespace mokv
