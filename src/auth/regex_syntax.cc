#include "auth/regex_syntax.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>

#include "base/utf8.h"

namespace mokv::auth {
namespace {

// RE2's limit for {2,3}.
constexpr int kRepetitionsMax = 1'000;

constexpr std::string_view kSpecial = R"(\^$.|?*+()[]{}-)";
// RE2's own dot is only no \n, and its \s only some characters of ASCII.
constexpr std::string_view kDot = R"([^\n\r\x{2028}\x{2029}])";
constexpr std::string_view kSpaces =
    R"(\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff})";
constexpr std::string_view kNoSpaces =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027})"
    R"(\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff})";

constexpr std::string_view kTwoHalves =
    "a character beyond U+FFFF is two for JavaScript, which would ";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsTwoHalves(std::string_view character) {
  return character.size() == 4;  // In UTF-8; a half of UTF-16 each.
}

// Of a code point below 256.
std::string ToUtf8(uint8_t code) {
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
}

std::string Escaped(std::string_view character) {
  const bool special = kSpecial.find(character.front()) != std::string_view::npos;
  return (special ? "\\" : "") + std::string(character);
}

// What stands in {2,3}. Missing when that is no such thing, and the brace stands for itself.
struct Repetitions {
  size_t length = 0;  // In bytes, with the braces.
  int least = 0;
  int most = 0;
};

std::optional<Repetitions> ReadRepetitions(std::string_view text) {
  // More digits than fit are many, too.
  const auto number = [&](size_t& at) {
    int result = 0;
    const size_t begin = at;
    while (at < text.size() && IsDigit(text[at])) {
      result = std::min(result * 10 + (text[at++] - '0'), kRepetitionsMax + 1);
    }
    return at == begin ? -1 : result;
  };
  size_t at = 1;
  Repetitions result;
  result.least = result.most = number(at);
  if (result.least < 0) return std::nullopt;
  if (at < text.size() && text[at] == ',') {
    ++at;
    const int most = number(at);
    result.most = most < 0 ? std::max(result.least, kRepetitionsMax) : most;
  }
  if (at == text.size() || text[at] != '}') return std::nullopt;
  result.length = at + 1;
  return result;
}

class RegexReader {
 public:
  RegexReader(std::string_view text, std::string& reason) : text_(text), reason_(reason) {}

  bool Read() {
    if (!IsUtf8(text_)) return Fail("bytes that are not UTF-8");
    while (at_ < text_.size()) {
      if (!ReadNext()) return false;
    }
    if (depth_ > 0) return Fail("'(' without its ')'; a bracket of the text is written '\\('");
    EndRun();
    if (alternatives_) longest_ = {};
    return true;
  }

  RegexSyntax Take() && { return {std::move(re2_), std::move(longest_.text), longest_.at_begin}; }

 private:
  enum class Before : uint8_t { kNothing, kOne, kTwoHalves };  // What a quantifier would repeat.
  struct Run {
    std::string text;
    bool at_begin = false;
  };
  // One of a class, which may stand for many of them.
  struct Member {
    std::string text;
    bool many = false;
  };

  bool Fail(std::string_view what) {
    reason_ = fmt::format("at byte {}: {}", at_ + 1, what);
    return false;
  }

  void EndRun(bool begin_follows = false) {
    if (run_.text.size() > longest_.text.size()) longest_ = std::move(run_);
    run_ = {.text = {}, .at_begin = begin_follows};
    last_ = 0;
  }

  void AddLiteral(std::string_view character) {
    re2_ += Escaped(character);
    before_ = IsTwoHalves(character) ? Before::kTwoHalves : Before::kOne;
    if (depth_ > 0) return;
    last_ = run_.text.size();
    run_.text += character;
  }

  // What is none of the texts that can be looked for.
  void Add(std::string_view re2, Before before) {
    re2_ += re2;
    before_ = before;
    EndRun();
  }

  bool ReadNext() {
    const char c = text_[at_];
    switch (c) {
      case '\\':
        return ReadEscape();
      case '[':
        return ReadClass();
      case '(':
        return ReadOpen();
      case ')':
        if (depth_ == 0) return Fail("')' without its '('; a bracket of the text is written '\\)'");
        --depth_;
        Add(")", Before::kOne);
        break;
      case '|':
        alternatives_ = alternatives_ || depth_ == 0;
        Add("|", Before::kNothing);
        break;
      case '^':
        Add("^", Before::kNothing);
        if (at_ == 0) EndRun(/*begin_follows=*/true);
        break;
      case '$':
        Add("$", Before::kNothing);
        break;
      case '.':
        Add(kDot, Before::kOne);
        break;
      case '*':
      case '+':
      case '?':
        return ReadQuantifier({.length = 1, .least = c == '+' ? 1 : 0, .most = 1});
      case '{':
        if (const std::optional<Repetitions> repetitions = ReadRepetitions(text_.substr(at_))) {
          return ReadQuantifier(*repetitions);
        }
        [[fallthrough]];
      default: {
        const size_t length = Utf8SequenceLength(text_.substr(at_));
        AddLiteral(text_.substr(at_, length));
        at_ += length;
        return true;
      }
    }
    ++at_;
    return true;
  }

  bool ReadOpen() {
    const std::string_view open = text_.substr(at_).starts_with("(?") ? "(?:" : "(";
    if (!text_.substr(at_).starts_with(open)) {
      return Fail(
          "'(?' of another kind than '(?:': looking ahead or behind, flags and names of "
          "groups are not supported; write more rules instead");
    }
    at_ += open.size();
    Add(open, Before::kNothing);
    ++depth_;
    return true;
  }

  bool ReadQuantifier(const Repetitions& repetitions) {
    const std::string_view written = text_.substr(at_, repetitions.length);
    if (before_ == Before::kNothing) {
      return Fail(
          fmt::format("nothing stands before '{0}' that it could repeat; any text is '.*', and "
                      "the character itself '\\{0}'",
                      written));
    }
    if (before_ == Before::kTwoHalves) {
      return Fail(std::string(kTwoHalves) + "repeat the second; put it into '(?:' and ')'");
    }
    if (repetitions.least > repetitions.most) {
      return Fail(fmt::format("'{}' counts down; write the lesser number first", written));
    }
    if (repetitions.most > kRepetitionsMax) {
      return Fail(fmt::format("'{}' is more than {} times; '*' is any number of times", written,
                              kRepetitionsMax));
    }
    if (repetitions.least == 0) run_.text.resize(last_);  // It may be missing.
    at_ += written.size();
    Add(written, Before::kNothing);
    if (at_ < text_.size() &&
        text_[at_] == '?') {  // As few as will do: to match at all is the same.
      re2_ += text_[at_++];
    }
    return true;
  }

  bool ReadEscape() {
    const char c = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (c == 'b') {
      at_ += 2;
      Add("\\b", Before::kNothing);
      return true;
    }
    Member member;
    if (!ReadEscaped(member)) return false;
    if (member.many) {
      Add("[" + member.text + "]", Before::kOne);
    } else {
      AddLiteral(member.text);
    }
    return true;
  }

  // Those that mean the same within a class and without.
  bool ReadEscaped(Member& member) {
    const std::string_view rest = text_.substr(at_);
    const char c = rest.size() > 1 ? rest[1] : '\0';
    member = {.text = std::string(rest.substr(0, 2)), .many = true};
    at_ += 2;
    constexpr std::string_view kControlNames = "tnrfv";
    switch (c) {
      case 'd':
      case 'D':
      case 'w':
      case 'W':
        return true;
      case 's':
        member.text = kSpaces;
        return true;
      case 'S':
        member.text = kNoSpaces;
        return true;
      case 'x': {
        uint8_t code = 0;
        const std::string_view digits = rest.substr(2, 2);
        const char* const end = digits.data() + digits.size();
        const auto [after, error] = std::from_chars(digits.data(), end, code, 16);
        if (error != std::errc() || digits.size() != 2 || after != end) break;
        member = {.text = ToUtf8(code)};
        at_ += 2;
        return true;
      }
      default:
        if (const size_t at = kControlNames.find(c); at != std::string_view::npos) {
          member = {.text = std::string(1, "\t\n\r\f\v"[at])};
          return true;
        }
        if (c == '\0' || IsLetter(c) || IsDigit(c) || static_cast<uint8_t>(c) >= 0x80) break;
        member = {.text = std::string(1, c)};
        return true;
    }
    at_ -= 2;
    return Fail(fmt::format(
        "{} is not what is supported behind a backslash: punctuation, one of d D w W s S "
        "t n r f v, and x with two digits of base 16; outside of brackets b, too. Write "
        "the character itself",
        Quoted(rest.substr(0, 1 + Utf8SequenceLength(rest.substr(1))))));
  }

  bool ReadClass() {
    const std::string_view open = text_.substr(at_).starts_with("[^") ? "[^" : "[";
    if (text_.substr(at_ + open.size()).starts_with(']')) {
      return Fail(
          fmt::format("'{}]' is a class of no characters for JavaScript; a bracket in it is "
                      "written '\\]'",
                      open));
    }
    const size_t begin = at_;
    at_ += open.size();
    std::string members(open);
    while (at_ < text_.size() && text_[at_] != ']') {
      if (!ReadMembers(members)) return false;
    }
    if (at_ == text_.size()) {
      at_ = begin;
      return Fail("'[' without its ']'; a bracket of the text is written '\\['");
    }
    ++at_;
    Add(members + "]", Before::kOne);
    return true;
  }

  // One, or all from one to another.
  bool ReadMembers(std::string& members) {
    const size_t begin = at_;
    Member low;
    if (!ReadMember(low)) return false;
    const std::string_view rest = text_.substr(at_);
    if (!rest.starts_with('-') || rest.starts_with("-]") || rest.size() == 1) {
      members += low.many ? low.text : Escaped(low.text);
      return true;
    }
    ++at_;
    Member high;
    if (!ReadMember(high)) return false;
    const size_t end = std::exchange(at_, begin);
    const std::string written = Quoted(text_.substr(begin, end - begin));
    if (low.many || high.many) {
      return Fail(written +
                  " ends in what is many characters; a '-' that is one stands last in "
                  "the brackets");
    }
    // In UTF-8, bytes have the order of the characters.
    if (high.text < low.text) return Fail(written + " begins behind its end; turn it round");
    at_ = end;
    members += Escaped(low.text) + "-" + Escaped(high.text);
    return true;
  }

  bool ReadMember(Member& member) {
    const std::string_view rest = text_.substr(at_);
    if (rest.front() == '\\') return ReadEscaped(member);
    if (rest.starts_with("[:")) {
      return Fail(
          "classes by name such as '[:alpha:]' are not supported; write 'a-zA-Z', and "
          "'\\[' for a bracket");
    }
    const std::string_view character = rest.substr(0, Utf8SequenceLength(rest));
    if (IsTwoHalves(character)) {
      return Fail(std::string(kTwoHalves) +
                  "find each of them; write alternatives as in '(?:a|b)' instead of a class");
    }
    member = {.text = std::string(character)};
    at_ += character.size();
    return true;
  }

  const std::string_view text_;
  std::string& reason_;
  size_t at_ = 0;
  std::string re2_;
  Before before_ = Before::kNothing;
  int depth_ = 0;
  bool alternatives_ = false;  // Outside of all brackets.
  // The longest run of characters outside of all brackets, and the current one.
  Run longest_;
  Run run_;
  size_t last_ = 0;  // Where the last character of the current one begins.
};

}  // namespace

std::optional<RegexSyntax> ReadRegex(std::string_view regex, std::string& reason) {
  RegexReader reader(regex, reason);
  if (!reader.Read()) return std::nullopt;
  return std::move(reader).Take();
}

}  // namespace mokv::auth
