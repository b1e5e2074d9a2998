// Globs, as node-casbin's globMatch compares them with paths.
//
// Text and pattern are split at slashes. In a part of the pattern, `*` stands for any bytes, `?` for
// one character, `[a-z]` and `[!a-z]` for one of some. A part `**` stands for any number of parts. None
// of these stands for the dot that a part begins with, nor do they for a part `.` or `..`; but `[.]` is
// the dot itself, as every set of one character is. A slash at the end of the text does not count.
//
// Threads: immutable.
// Bounds:  no recursion; time is at most the product of the two lengths.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mokv::auth {

class Glob {
 public:
  // False, with a reason, for what this does not know: braces, negation, `+(a|b)`, classes by name; and
  // for what node-casbin's reads as nobody would.
  bool Compile(std::string_view pattern, std::string& reason);

  bool Matches(std::string_view text) const;

 private:
  struct Element {
    enum class Kind : uint8_t { kBytes, kOne, kAny, kSet };
    Kind kind = Kind::kBytes;
    std::string bytes;  // As many as stand side by side.
    bool negated = false;
    std::vector<std::pair<uint32_t, uint32_t>> ranges;  // Of code points.
  };
  struct Part {
    bool any_parts = false;  // `**`.
    std::vector<Element> elements;

    bool IsLiteral() const;
    std::string_view Bytes() const;  // If it is.
  };

  static bool CompilePart(std::string_view text, Part& part, std::string& reason);
  bool CheckDots(std::string& reason) const;
  // `at` is after the bracket, and after the set when it is well-formed.
  static bool CompileSet(std::string_view text, size_t& at, Element& set, std::string& reason);
  static bool Fits(const Element& element, std::string_view text, size_t& at);
  static bool MatchesPart(const Part& part, std::string_view text);

  void FindRuns();
  // Whether the text has the bytes of the pattern, in their order. Costs less than to match.
  bool HasRuns(std::string_view text) const;

  std::vector<Part> parts_;
  // The bytes that the pattern wants; the first may have to be the text's begin, the last its end.
  std::vector<std::string> runs_;
  bool run_at_begin_ = false;
  bool run_at_end_ = false;
};

}  // namespace mokv::auth
