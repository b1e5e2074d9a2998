// What a node may be called.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace mokv {

// Serf's own limit; the name is also a file's content.
inline constexpr size_t kNodeNameBytesMax = 128;

inline bool IsNodeName(std::string_view text) {
  return !text.empty() && text.size() <= kNodeNameBytesMax &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

}  // namespace mokv
