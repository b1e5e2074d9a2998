// Patterns: the second argument of Casbin's matching functions, compiled once, when a policy is loaded.
//
// Threads: immutable.
// Cost:    paths and prefixes are compared byte by byte; everything else is an expression of RE2, whose
//          time is linear in the text (auth/regex_syntax.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "auth/address.h"
#include "auth/truth.h"

namespace mokv::auth {

enum class PatternKind {
  kKeyMatch2,   // `:name` stands for one part of a path, `*` behind a slash for the rest.
  kKeyMatch3,   // The same with `{name}`.
  kKeyMatch4,   // And parts of one name must be the same.
  kKeyMatch5,   // As kKeyMatch3; a `?` in the text and what is behind it does not count.
  kRegexMatch,  // Anywhere in the text.
  kIpMatch,     // An address, or a network such as 10.0.0.0/8.
  kGlobMatch,
};

// In bytes. A path has at most 128 marks of names, too: to replace a name takes time that grows with
// the path.
inline constexpr size_t kPatternBytesMax = 4 << 10;

// RE2 keeps what it has learned about texts; those are chosen by clients.
inline constexpr int64_t kRegexMemoryMax = 256 << 10;

class Pattern {
 public:
  virtual ~Pattern() = default;

  // kUnknown for kIpMatch when `text` is no address; for expressions, if it is not UTF-8.
  virtual Truth Matches(std::string_view text) const = 0;

  // Of kIpMatch; otherwise null. So that a text is read as an address once for many of them.
  virtual const Network* network() const { return nullptr; }

  // Whether RE2 matches it. Then what it learns of texts takes up to kRegexMemoryMax bytes.
  virtual bool is_expression() const { return false; }

  // Null, with a reason, when `text` is not a pattern of this kind.
  static std::shared_ptr<const Pattern> Compile(PatternKind kind, std::string_view text,
                                                std::string& reason);
};

// The expression that Casbin makes of a pattern of keyMatch2 to keyMatch5; nothing, with a reason, where
// it would not come to an end. That names of keyMatch4 that repeat stand for the same is not in it.
std::optional<std::string> RegexOfPath(PatternKind kind, std::string_view path,
                                       std::string& reason);

// Casbin's keyMatch: a pattern without `*` matches itself; otherwise what stands before the first `*` is
// a prefix to match, and what stands behind it does not count.
bool KeyMatch(std::string_view text, std::string_view pattern);

// Casbin's keyGet: what the star of such a pattern stands for.
std::string_view KeyGet(std::string_view text, std::string_view pattern);

// The part of a path with this number, from 0; parts that are empty are not counted. Empty when there
// is none.
std::string_view PathPart(std::string_view path, size_t number);

}  // namespace mokv::auth
