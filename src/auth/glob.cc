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
  const auto add_bytes = [&part](std::string_view bytes) {
    if (part.elements.empty() || part.elements.back().kind != Element::Kind::kBytes) {
      part.elements.emplace_back();
    }
    part.elements.back().bytes += bytes;
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
        add_bytes(rest.substr(0, Utf8SequenceLength(rest)));
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
      add_bytes(text.substr(at++, 1));
      continue;
    } else {
      add_bytes({&c, 1});
      continue;
    }
    part.elements.push_back(std::move(element));
  }
  return true;
}

bool Glob::Part::IsLiteral() const {
  return elements.empty() ||
         (elements.size() == 1 && elements.front().kind == Element::Kind::kBytes);
}

std::string_view Glob::Part::Bytes() const {
  return elements.empty() ? std::string_view() : elements.front().bytes;
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
  if (!CheckDots(reason)) return false;
  FindRuns();
  return true;
}

// There, node-casbin looks for parts from the end, and finds none that begin with a dot.
bool Glob::CheckDots(std::string& reason) const {
  const auto is_any = [](const Part& part) { return part.any_parts; };
  if (std::count_if(parts_.begin(), parts_.end(), is_any) < 2) return true;
  const auto behind = std::find_if(parts_.rbegin(), parts_.rend(), is_any).base();
  const bool dot = std::any_of(behind, parts_.end(), [](const Part& part) {
    return !part.elements.empty() && part.elements.front().bytes.starts_with('.');
  });
  return !dot ||
         Fail(reason,
              "a part that begins with a dot behind the second '**', or a later one, is not "
              "supported: write a rule for each number of parts");
}

// Whether an element that is no star stands at `at`, which moves behind it.
bool Glob::Fits(const Element& element, std::string_view text, size_t& at) {
  if (element.kind == Element::Kind::kBytes) {
    if (!text.substr(at).starts_with(element.bytes)) return false;
    at += element.bytes.size();
    return true;
  }
  if (at == text.size()) return false;
  const uint32_t found = TakeCodePoint(text, at);
  const bool listed =
      std::any_of(element.ranges.begin(), element.ranges.end(),
                  [&](const auto& range) { return range.first <= found && found <= range.second; });
  return element.kind == Element::Kind::kOne || listed != element.negated;
}

void Glob::FindRuns() {
  for (const Part& part : parts_) {
    for (const Element& element : part.elements) {
      if (element.kind == Element::Kind::kBytes) runs_.push_back(element.bytes);
    }
  }
  const auto is_run = [](const std::vector<Element>& elements, size_t at) {
    return at < elements.size() && elements[at].kind == Element::Kind::kBytes;
  };
  run_at_begin_ = is_run(parts_.front().elements, 0);
  run_at_end_ = is_run(parts_.back().elements, parts_.back().elements.size() - 1);
}

bool Glob::HasRuns(std::string_view text) const {
  // A slash at the end does not count.
  if (run_at_end_) text = text.substr(0, text.find_last_not_of('/') + 1);
  if (run_at_begin_ && !text.starts_with(runs_.front())) return false;
  if (run_at_end_ && !text.ends_with(runs_.back())) return false;
  size_t at = run_at_begin_ ? runs_.front().size() : 0;
  const size_t last = runs_.size() - (run_at_end_ ? 1 : 0);
  for (size_t i = run_at_begin_ ? 1 : 0; i < last; ++i) {
    at = text.find(runs_[i], at);
    if (at == std::string_view::npos) return false;
    at += runs_[i].size();
  }
  return true;
}

// Going back to the last star is enough: if it cannot be made to fit, an earlier one that takes more
// only leaves less.
bool Glob::MatchesPart(const Part& part, std::string_view text) {
  if (part.IsLiteral()) return text == part.Bytes();
  if (text == "." || text == "..") return false;
  const std::vector<Element>& elements = part.elements;
  const bool begins_open = elements.front().kind != Element::Kind::kBytes;
  if (begins_open && (text.empty() || text.front() == '.')) return false;
  if (!text.ends_with(elements.back().bytes)) return false;
  // Where behind a star `element` may be, from `at` on.
  const auto find = [&](size_t element, size_t at) {
    if (elements[element].kind != Element::Kind::kBytes) return at;
    const std::string& bytes = elements[element].bytes;
    if (element + 1 < elements.size()) return text.find(bytes, at);
    return at + bytes.size() <= text.size() ? text.size() - bytes.size() : std::string_view::npos;
  };
  size_t element = 0;
  size_t at = 0;
  size_t star = std::string_view::npos;
  size_t star_at = 0;
  while (true) {
    if (element < elements.size() && elements[element].kind == Element::Kind::kAny) {
      star = element++;
      if (element == elements.size()) return true;
      star_at = find(element, at);
      if (star_at == std::string_view::npos) return false;
      at = star_at;
    }
    if (element == elements.size() && at == text.size()) return true;
    if (element < elements.size() && Fits(elements[element], text, at)) {
      ++element;
    } else if (star == std::string_view::npos || star_at >= text.size()) {
      return false;
    } else {
      element = star + 1;
      TakeCodePoint(text, star_at);
      star_at = find(element, star_at);
      if (star_at == std::string_view::npos) return false;
      at = star_at;
    }
  }
}

bool Glob::Matches(std::string_view text) const {
  if (!HasRuns(text)) return false;
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
