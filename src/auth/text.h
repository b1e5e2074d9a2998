// Lines and white space, as the parsers of this folder see them.
//
// Threads: Lines is confined to one thread, and borrows the text.
#pragma once

#include <absl/status/status.h>

#include <optional>
#include <string_view>

namespace mokv::auth {

inline constexpr std::string_view kWhiteSpace = " \t\r";
// What some editors put before UTF-8.
inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

inline std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(kWhiteSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kWhiteSpace) - first + 1);
}

// Without what JavaScript takes for white space at the begin and the end: Unicode's spaces, line ends and
// the byte order mark, too.
std::string_view TrimSpace(std::string_view text);

// Whether there are control characters in it, but for tabs.
bool HasControls(std::string_view text);

// INVALID_ARGUMENT, with `name` and the line, for a text that is no UTF-8, and for one of which a reader could
// take the lines for others than they are: a rule that looks like one must not be part of a comment.
absl::Status CheckText(std::string_view text, std::string_view name);

// Hands out the lines of a text, trimmed, and counts them from 1.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {
    if (rest_.starts_with(kByteOrderMark)) rest_.remove_prefix(kByteOrderMark.size());
  }

  std::optional<std::string_view> Next() {
    if (rest_.empty()) return std::nullopt;
    ++number_;
    const size_t end = rest_.find('\n');
    const std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    return Trim(line);
  }
  // The number of the line that Next gave last.
  int number() const { return number_; }

 private:
  std::string_view rest_;
  int number_ = 0;
};

}  // namespace mokv::auth
