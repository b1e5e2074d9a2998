// Regular expressions as JavaScript reads them, said in RE2's words.
//
// Casbin's regexMatch, and its path functions, ask JavaScript's RegExp. RE2 reads most expressions as that
// does, but not all: a dot stands for more characters here, `[[:alpha:]]` means something else there, and
// `^*a` is an error there. What can be said in RE2's words is; what cannot, or what is likely to be meant in
// the way of RE2, is refused. One thing stays: for JavaScript, a character beyond U+FFFF is two of them, each
// of which is one for a dot.
//
// Bounds: one pass, no recursion.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mokv::auth {

struct RegexSyntax {
  std::string re2;
  // Stands in every text that the expression matches, or at its begin; empty when nothing is known.
  std::string needle;
  bool needle_at_begin = false;
};

// Nothing, with a reason, for what is refused. An expression may still be too large for RE2.
std::optional<RegexSyntax> ReadRegex(std::string_view regex, std::string& reason);

}  // namespace mokv::auth
