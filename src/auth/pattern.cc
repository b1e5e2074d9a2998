#include "auth/pattern.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "auth/address.h"
#include "auth/glob.h"
#include "auth/regex_syntax.h"
#include "base/utf8.h"

namespace mokv::auth {
namespace {

// Steps of the program that RE2 makes of an expression. Where a text makes it give up what it has learned,
// each of its characters costs as many; a key has up to 4,096 of them. `^/orders/[0-9]+/items$` comes to 12,
// `^[^/]{1,64}$` to 577.
constexpr int kRegexStepsMax = 800;
// To replace a name looks at the whole path.
constexpr std::ptrdiff_t kNameMarksMax = 128;
// So many names may a pattern of keyMatch4 have when one repeats.
constexpr size_t kNamesMax = 16;

constexpr std::string_view kOnePart = "[^/]+";
constexpr std::string_view kOnePartOfKeyMatch4 = "([^/]+)";
constexpr std::string_view kRest = ".*";

re2::StringPiece Piece(std::string_view text) { return {text.data(), text.size()}; }

// An expression as Casbin reads it.
class Regex {
 public:
  bool Compile(std::string_view text, std::string& reason) {
    std::optional<RegexSyntax> syntax = ReadRegex(text, reason);
    if (!syntax.has_value()) return false;
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(kRegexMemoryMax);
    regex_ = std::make_unique<const re2::RE2>(syntax->re2, options);
    if (!regex_->ok()) {
      reason = "too much for RE2 (" + regex_->error() + "); repeat less, or write more rules";
      return false;
    }
    if (const int steps = regex_->ProgramSize(); steps > kRegexStepsMax) {
      reason = "it comes to " + std::to_string(steps) + " steps of RE2; at most " +
               std::to_string(kRegexStepsMax) +
               " are taken: repeat less, as with '+' for '{1,300}', or write more rules";
      return false;
    }
    needle_ = std::move(syntax->needle);
    needle_at_begin_ = syntax->needle_at_begin;
    return true;
  }

  Truth Matches(std::string_view text, re2::StringPiece* groups = nullptr, int count = 0) const {
    // Costs less than the expression does.
    const bool may_match =
        needle_at_begin_ ? text.starts_with(needle_) : text.find(needle_) != std::string_view::npos;
    if (!may_match) return Truth::kFalse;
    // RE2 finds no character at all in bytes that are none, not even the one that is not another.
    if (!IsUtf8(text)) return Truth::kUnknown;
    return ToTruth(regex_->Match(Piece(text), 0, text.size(), re2::RE2::UNANCHORED, groups, count));
  }

 private:
  std::unique_ptr<const re2::RE2> regex_;
  std::string needle_;
  bool needle_at_begin_ = false;
};

class RegexPattern final : public Pattern {
 public:
  bool Compile(std::string_view text, std::string& reason) { return regex_.Compile(text, reason); }
  Truth Matches(std::string_view text) const override { return regex_.Matches(text); }
  bool is_expression() const override { return true; }

 private:
  Regex regex_;
};

// Of the characters for which a dot does not stand: \n, \r, U+2028 and U+2029.
bool HasLineEnd(std::string_view text) {
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '\n' || c == '\r') return true;
    if (c != '\xe2') continue;
    const std::string_view character = text.substr(at, 3);
    if (character == "\xe2\x80\xa8" || character == "\xe2\x80\xa9") return true;
  }
  return false;
}

// Expressions such as ^/a/[^/]+/b/.*$, which most path patterns come to: no need for RE2.
class PathPattern final : public Pattern {
 public:
  // False when the expression says more than that.
  bool Compile(std::string_view regex) {
    if (!regex.starts_with('^') || !regex.ends_with('$')) return false;
    regex = regex.substr(1, regex.size() - 2);
    while (!regex.empty()) {
      if (ends_in_rest_) return false;
      const bool in_group = regex.starts_with(kOnePartOfKeyMatch4);
      if (in_group || regex.starts_with(kOnePart)) {
        regex.remove_prefix((in_group ? kOnePartOfKeyMatch4 : kOnePart).size());
        // A part ends where the next slash is; in the middle of one there would be more ways to match.
        if (!regex.empty() && regex.front() != '/') return false;
        literals_.emplace_back();
      } else if (regex.starts_with(kRest)) {
        regex.remove_prefix(kRest.size());
        ends_in_rest_ = true;
      } else {
        if (kSpecial.find(regex.front()) != std::string_view::npos) return false;
        literals_.back() += regex.front();
        regex.remove_prefix(1);
      }
    }
    return true;
  }

  Truth Matches(std::string_view text) const override {
    for (size_t i = 0; i < literals_.size(); ++i) {
      if (i > 0) {
        const size_t end = std::min(text.find('/'), text.size());
        if (end == 0) return Truth::kFalse;
        text.remove_prefix(end);
      }
      if (!text.starts_with(literals_[i])) return Truth::kFalse;
      text.remove_prefix(literals_[i].size());
    }
    return ToTruth(ends_in_rest_ ? !HasLineEnd(text) : text.empty());
  }

 private:
  static constexpr std::string_view kSpecial = "\\^$.|?*+()[]{}";

  std::vector<std::string> literals_ = {""};  // Between them stands one part each.
  bool ends_in_rest_ = false;
};

std::shared_ptr<const Pattern> FromRegex(const std::string& regex, std::string& reason) {
  auto path = std::make_shared<PathPattern>();
  if (path->Compile(regex)) return path;
  auto general = std::make_shared<RegexPattern>();
  return general->Compile(regex, reason) ? general : nullptr;
}

// Of keyMatch4, when names repeat.
class RepeatedNames final : public Pattern {
 public:
  // At most kNamesMax names: that many groups has the expression, and no others.
  bool Compile(std::string_view regex, std::vector<std::string> names, std::string& reason) {
    names_ = std::move(names);
    return regex_.Compile(regex, reason);
  }

  Truth Matches(std::string_view text) const override {
    std::array<re2::StringPiece, kNamesMax + 1> groups;  // The first is the whole match.
    const Truth matches = regex_.Matches(text, groups.data(), static_cast<int>(names_.size()) + 1);
    if (matches != Truth::kTrue) return matches;
    for (size_t i = 0; i < names_.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (names_[i] == names_[j] && groups[i + 1] != groups[j + 1]) return Truth::kFalse;
      }
    }
    return Truth::kTrue;
  }
  bool is_expression() const override { return true; }

 private:
  Regex regex_;
  std::vector<std::string> names_;
};

class WithoutQuery final : public Pattern {
 public:
  explicit WithoutQuery(std::shared_ptr<const Pattern> path) : path_(std::move(path)) {}
  Truth Matches(std::string_view text) const override {
    return path_->Matches(text.substr(0, text.find('?')));
  }
  bool is_expression() const override { return path_->is_expression(); }

 private:
  const std::shared_ptr<const Pattern> path_;
};

class NetworkPattern final : public Pattern {
 public:
  explicit NetworkPattern(const Network& network) : network_(network) {}
  Truth Matches(std::string_view text) const override {
    const std::optional<Address> address = ParseAddress(text);
    return address.has_value() ? ToTruth(network_.Contains(*address)) : Truth::kUnknown;
  }
  const Network* network() const override { return &network_; }

 private:
  const Network network_;
};

class GlobPattern final : public Pattern {
 public:
  bool Compile(std::string_view text, std::string& reason) { return glob_.Compile(text, reason); }
  Truth Matches(std::string_view text) const override { return ToTruth(glob_.Matches(text)); }

 private:
  Glob glob_;
};

// Casbin makes expressions of path patterns by replacing text, and escapes nothing: whatever is special
// in expressions is special in these patterns, too.
std::string WithRest(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '*' && i > 0 && text[i - 1] == '/') result += '.';
    result += text[i];
  }
  return result;
}

// Where in `text` the name ends that begins at `at`, behind its mark; npos when there is no name there.
size_t NameEnd(std::string_view text, size_t at, char close) {
  const size_t slash = std::min(text.find('/', at), text.size());
  if (close == 0) return slash > at ? slash : std::string_view::npos;
  const size_t end = text.substr(0, slash).rfind(close);
  return end == std::string_view::npos || end <= at ? std::string_view::npos : end + 1;
}

// Replaces what is named, from the last one on, as long as there is a name that begins a part. False,
// with a reason, where Casbin's replacing would not end, or would hit what it has put there itself.
bool ReplaceNames(std::string& text, char open, char close, std::string_view by,
                  std::vector<std::string>& names, std::string& reason) {
  const std::string begin = std::string("/") + open;
  size_t limit = std::string::npos;
  while (text.find(begin) != std::string::npos) {
    size_t at = text.rfind(open, limit);
    size_t end = std::string::npos;
    while (at != std::string::npos) {
      end = NameEnd(text, at + 1, close);
      if (end != std::string::npos || at == 0) break;
      at = text.rfind(open, at - 1);
    }
    if (at == std::string::npos || end == std::string::npos ||
        text.substr(at + 1, end - at - 1).find_first_of("[]") != std::string::npos) {
      reason = "'" + begin + "' without a name behind it, or two names in one part of the path";
      return false;
    }
    names.push_back(text.substr(at, end - at));
    text.replace(at, end - at, by);
    limit = at == 0 ? 0 : at - 1;
  }
  std::reverse(names.begin(), names.end());
  return true;
}

// The expression that Casbin makes of a path.
std::optional<std::string> RegexAndNames(PatternKind kind, std::string_view path,
                                         std::vector<std::string>& names, std::string& reason) {
  std::string text = WithRest(path);
  const bool colons = kind == PatternKind::kKeyMatch2;
  const char open = colons ? ':' : '{';
  if (std::count(path.begin(), path.end(), open) > kNameMarksMax) {
    reason = std::string("more than ") + std::to_string(kNameMarksMax) + " times '" + open + "'";
    return std::nullopt;
  }
  const std::string_view by = kind == PatternKind::kKeyMatch4 ? kOnePartOfKeyMatch4 : kOnePart;
  if (!ReplaceNames(text, open, colons ? '\0' : '}', by, names, reason)) {
    return std::nullopt;
  }
  if (colons && text == "*") text = kRest;
  return "^" + text + "$";
}

std::shared_ptr<const Pattern> CompileKeyMatch4(std::string_view path, const std::string& regex,
                                                std::vector<std::string> names,
                                                std::string& reason) {
  std::vector<std::string> sorted = names;
  std::sort(sorted.begin(), sorted.end());
  const bool repeated = std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end();
  // Casbin pairs names with groups by their numbers.
  const auto braces = static_cast<size_t>(std::count(path.begin(), path.end(), '}'));
  if (braces != names.size() || path.find('(') != std::string_view::npos ||
      (repeated && names.size() > kNamesMax)) {
    reason =
        "a pattern of keyMatch4 has no round brackets, braces only around names, as in "
        "/{id}, and at most " +
        std::to_string(kNamesMax) + " names when one repeats";
    return nullptr;
  }
  if (!repeated) return FromRegex(regex, reason);
  auto pattern = std::make_shared<RepeatedNames>();
  return pattern->Compile(regex, std::move(names), reason) ? pattern : nullptr;
}

std::shared_ptr<const Pattern> CompilePath(PatternKind kind, std::string_view path,
                                           std::string& reason) {
  std::vector<std::string> names;
  const std::optional<std::string> regex = RegexAndNames(kind, path, names, reason);
  if (!regex.has_value()) return nullptr;
  std::shared_ptr<const Pattern> pattern =
      kind == PatternKind::kKeyMatch4 ? CompileKeyMatch4(path, *regex, std::move(names), reason)
                                      : FromRegex(*regex, reason);
  if (pattern == nullptr) reason = "as the expression " + Quoted(*regex) + ", " + reason;
  if (pattern == nullptr || kind != PatternKind::kKeyMatch5) return pattern;
  return std::make_shared<WithoutQuery>(std::move(pattern));
}

}  // namespace

std::shared_ptr<const Pattern> Pattern::Compile(PatternKind kind, std::string_view text,
                                                std::string& reason) {
  if (text.size() > kPatternBytesMax) {
    reason = "it has " + std::to_string(text.size()) + " bytes; at most " +
             std::to_string(kPatternBytesMax) + " are taken: write it as several rules";
    return nullptr;
  }
  if (!IsUtf8(text)) {
    reason = "it has bytes that are not UTF-8, as keys and names of subjects are";
    return nullptr;
  }
  switch (kind) {
    case PatternKind::kRegexMatch:
      return FromRegex(std::string(text), reason);
    case PatternKind::kIpMatch: {
      const std::optional<Network> network = ParseNetwork(text);
      if (network.has_value()) return std::make_shared<NetworkPattern>(*network);
      reason = "neither an IP address nor a network";
      return nullptr;
    }
    case PatternKind::kGlobMatch: {
      auto glob = std::make_shared<GlobPattern>();
      return glob->Compile(text, reason) ? glob : nullptr;
    }
    case PatternKind::kKeyMatch2:
    case PatternKind::kKeyMatch3:
    case PatternKind::kKeyMatch4:
    case PatternKind::kKeyMatch5:
      break;
  }
  return CompilePath(kind, text, reason);
}

std::optional<std::string> RegexOfPath(PatternKind kind, std::string_view path,
                                       std::string& reason) {
  std::vector<std::string> names;
  return RegexAndNames(kind, path, names, reason);
}

bool KeyMatch(std::string_view text, std::string_view pattern) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return text == pattern;
  return text.starts_with(pattern.substr(0, star));
}

std::string_view KeyGet(std::string_view text, std::string_view pattern) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos || !KeyMatch(text, pattern)) return {};
  return text.substr(star);
}

std::string_view PathPart(std::string_view path, size_t number) {
  while (true) {
    path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
    const std::string_view part = path.substr(0, path.find('/'));
    if (part.empty() || number-- == 0) return part;
    path.remove_prefix(part.size());
  }
}

}  // namespace mokv::auth
