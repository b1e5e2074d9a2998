// Casbin's keyMatch, one pattern at a time: what the authorizer's look-ups must agree with.
//
// Threads: a pure function.
#pragma once

#include <string_view>

namespace mokv::auth {

// A pattern without `*` matches itself. Otherwise what stands before the first `*` is a prefix to
// match, and what stands behind it does not count.
inline bool KeyMatch(std::string_view key, std::string_view pattern) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return key == pattern;
  return key.starts_with(pattern.substr(0, star));
}

}  // namespace mokv::auth
