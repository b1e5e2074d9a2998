#include "auth/glob.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"

namespace mokv::auth {
namespace {

// The last character that is one of UTF-16.
constexpr uint32_t kUnitMax = 0xffff;

// The part of a path that begins at `at`; `next` is where the next one begins, or npos.
std::string_view PartAt(std::string_view path, size_t at, size_t& next) {
  const size_t slash = path.find('/', at);
  next = slash == std::string_view::npos ? slash : path.find_first_not_of('/', slash);
  // Slashes at the end leave an empty part behind them.
  if (slash != std::string_view::npos && next == std::string_view::npos) next = path.size();
  return path.substr(at, slash == std::string_view::npos ? slash : slash - at);
}

// The code point at `at`, which moves behind it; a byte that belongs to none is one of its own, above
// all others.
uint32_t TakeCodePoint(std::string_view text, size_t& at) {
  constexpr uint32_t kNoCodePoint = 0x110000;
  const size_t length = Utf8SequenceLength(text.substr(at));
  const auto lead = static_cast<uint8_t>(text[at]);
  if (length == 0) {
    ++at;
    return kNoCodePoint + lead;
  }
  uint32_t result = length == 1 ? lead : lead & (0xffU >> (length + 1));
  for (size_t i = 1; i < length; ++i) result = result << 6 | (text[at + i] & 0x3f);
  at += length;
  return result;
}

bool Fail(std::string& reason, std::string_view what) {
  reason = what;
  return false;
}

}  // namespace

bool Glob::CompileSet(std::string_view text, size_t& at, Element& set, std::string& reason) {
  set.kind = Element::Kind::kSet;
  if (at < text.size() && (text[at] == '!' || text[at] == '^')) {
    set.negated = true;
    ++at;
  }
  const size_t first = at;
  while (at < text.size()) {
    if (text[at] == ']' && at != first) {
      ++at;
      return true;
    }
    if (text[at] == '[' || text[at] == '\\') {
      return Fail(reason, "'[' and '\\' within a set are not supported");
    }
    const uint32_t low = TakeCodePoint(text, at);
    uint32_t high = low;
    if (at + 1 < text.size() && text[at] == '-' && text[at + 1] != ']') {
      ++at;
      high = TakeCodePoint(text, at);
    }
    if (std::max(low, high) > kUnitMax) {
      return Fail(reason, "a set has no characters beyond U+FFFF, which JavaScript takes for two");
    }
    if (high < low) return Fail(reason, "a set whose range ends before it begins");
    set.ranges.emplace_back(low, high);
  }
  return Fail(reason, "a set without its closing bracket");
}

bool Glob::CompilePart(std::string_view text, Part& part, std::string& reason) {
  if (text == "." || text == "..") return Fail(reason, "parts '.' and '..' are not supported");
  if (text == "**") {
    part.any_parts = true;
    return true;
  }
  // There, node-casbin takes some backslashes for characters of the text.
  const bool begins_open = text.starts_with('*') || text.starts_with('?');
  if (begins_open && text.find('\\') != std::string_view::npos) {
    return Fail(reason,
                "a backslash in a part that begins with '*' or '?'; write '[*]' for the "
                "character itself");
  }
  const auto add = [&part](Element element) {
    part.literal = part.literal && element.kind == Element::Kind::kByte;
    part.text += element.byte;
    part.elements.push_back(std::move(element));
  };
  for (size_t at = 0; at < text.size();) {
    Element element;
    const size_t begin = at;
    const char c = text[at++];
    if (at < text.size() && text[at] == '(' &&
        std::string_view("+@!?*").find(c) != std::string_view::npos) {
      return Fail(reason, "lists such as '+(a|b)' are not supported: write a rule for each");
    }
    if (c == '{' || c == '}')
      return Fail(reason, "braces are not supported: write a rule for each");
    if (c == '[') {
      if (!CompileSet(text, at, element, reason)) return false;
      const auto [low, high] = element.ranges.front();
      if (!element.negated && element.ranges.size() == 1 && low == high) {
        // The character itself, which may be the dot that a part begins with.
        const std::string_view rest = text.substr(begin + 1);
        for (const char byte : rest.substr(0, Utf8SequenceLength(rest))) add({.byte = byte});
        continue;
      }
    } else if (c == '*') {
      element.kind = Element::Kind::kAny;
      if (!part.elements.empty() && part.elements.back().kind == Element::Kind::kAny) continue;
    } else if (c == '?') {
      element.kind = Element::Kind::kOne;
    } else if (c == '\\') {
      if (at == text.size()) return Fail(reason, "a backslash at the end of a part");
      // node-casbin takes such a bar for the one of an expression.
      if (text[at] == '|') return Fail(reason, "a backslash before '|'; write '[|]' or '|'");
      element.byte = text[at++];
    } else {
      element.byte = c;
    }
    add(std::move(element));
  }
  return true;
}

bool Glob::Compile(std::string_view pattern, std::string& reason) {
  if (pattern.empty()) return Fail(reason, "an empty pattern");
  if (pattern.front() == '!') return Fail(reason, "'!' at the begin is not supported");
  if (pattern.front() == '#') return Fail(reason, "'#' at the begin makes it a comment");
  // node-casbin drops the star of "*/a", so that "/a" matches it.
  if (pattern.starts_with("*/")) pattern.remove_prefix(1);
  for (size_t at = 0; at != std::string_view::npos;) {
    const std::string_view text = PartAt(pattern, at, at);
    Part part;
    if (!CompilePart(text, part, reason)) return false;
    const bool repeated = part.any_parts && !parts_.empty() && parts_.back().any_parts;
    if (!repeated) parts_.push_back(std::move(part));
  }
  return CheckDots(reason);
}

// There, node-casbin looks for parts from the end, and finds none that begin with a dot.
bool Glob::CheckDots(std::string& reason) const {
  const auto is_any = [](const Part& part) { return part.any_parts; };
  if (std::count_if(parts_.begin(), parts_.end(), is_any) < 2) return true;
  const auto behind = std::find_if(parts_.rbegin(), parts_.rend(), is_any).base();
  const bool dot = std::any_of(behind, parts_.end(), [](const Part& part) {
    return !part.elements.empty() && part.elements.front().kind == Element::Kind::kByte &&
           part.elements.front().byte == '.';
  });
  return !dot ||
         Fail(reason,
              "a part that begins with a dot behind the second '**', or a later one, is not "
              "supported: write a rule for each number of parts");
}

// Going back to the last star is enough: if it cannot be made to fit, an earlier one that takes more
// only leaves less.
bool Glob::MatchesPart(const Part& part, std::string_view text) {
  if (part.literal) return text == part.text;
  if (text == "." || text == "..") return false;
  const std::vector<Element>& elements = part.elements;
  const bool begins_open = elements.front().kind != Element::Kind::kByte;
  if (begins_open && (text.empty() || text.front() == '.')) return false;
  size_t element = 0;
  size_t at = 0;
  size_t star = std::string_view::npos;
  size_t star_at = 0;
  while (true) {
    if (element < elements.size() && elements[element].kind == Element::Kind::kAny) {
      star = element++;
      star_at = at;
      continue;
    }
    if (element == elements.size() && at == text.size()) return true;
    bool fits = false;
    size_t next = at;
    if (element < elements.size() && at < text.size()) {
      const Element& wanted = elements[element];
      if (wanted.kind == Element::Kind::kByte) {
        fits = text[next++] == wanted.byte;
      } else {
        const uint32_t found = TakeCodePoint(text, next);
        const bool listed = std::any_of(
            wanted.ranges.begin(), wanted.ranges.end(),
            [&](const auto& range) { return range.first <= found && found <= range.second; });
        fits = wanted.kind == Element::Kind::kOne || listed != wanted.negated;
      }
    }
    if (fits) {
      ++element;
      at = next;
    } else if (star == std::string_view::npos || star_at >= text.size()) {
      return false;
    } else {
      element = star + 1;
      TakeCodePoint(text, star_at);
      at = star_at;
    }
  }
}

bool Glob::Matches(std::string_view text) const {
  size_t part = 0;
  size_t at = 0;
  size_t skipping = std::string_view::npos;  // The last `**`, and where its parts end so far.
  size_t skipped = 0;
  while (true) {
    if (part < parts_.size() && parts_[part].any_parts) {
      // At the end it stands for one part at least.
      if (part + 1 == parts_.size() && at == std::string_view::npos) return false;
      skipping = part++;
      skipped = at;
      continue;
    }
    const bool text_ended = at == std::string_view::npos;
    if (part == parts_.size() && (text_ended || (at != 0 && at == text.size()))) return true;
    if (part < parts_.size() && !text_ended) {
      size_t next = 0;
      if (MatchesPart(parts_[part], PartAt(text, at, next))) {
        ++part;
        at = next;
        continue;
      }
    }
    if (skipping == std::string_view::npos || skipped == std::string_view::npos) return false;
    if (PartAt(text, skipped, skipped).starts_with('.')) return false;
    part = skipping + 1;
    at = skipped;
  }
}

}  // namespace mokv::auth
