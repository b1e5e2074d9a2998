#include "auth/text.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/status.h"
#include "base/utf8.h"

namespace mokv::auth {
namespace {

// White space and line ends of ECMAScript, in UTF-8.
constexpr std::array<std::string_view, 25> kSpaces = {
    "\t",           "\n",           "\v",           "\f",           "\r",           " ",
    "\xc2\xa0",
    "\xe1\x9a\x80",  // U+1680.
    "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85",
    "\xe2\x80\x86", "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89",
    "\xe2\x80\x8a",                                  // U+2000 to U+200A.
    "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf",  // U+2028, U+2029, U+202F.
    "\xe2\x81\x9f", "\xe3\x80\x80",                  // U+205F, U+3000.
    kByteOrderMark};

}  // namespace

std::string_view TrimSpace(std::string_view text) {
  const auto begins = [&](std::string_view space) { return text.starts_with(space); };
  const auto ends = [&](std::string_view space) { return text.ends_with(space); };
  for (;;) {
    const auto space = std::find_if(kSpaces.begin(), kSpaces.end(), begins);
    if (space == kSpaces.end()) break;
    text.remove_prefix(space->size());
  }
  for (;;) {
    const auto space = std::find_if(kSpaces.begin(), kSpaces.end(), ends);
    if (space == kSpaces.end()) return text;
    text.remove_suffix(space->size());
  }
}

bool HasControls(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return true;
    // U+0080 to U+009F.
    if (byte == 0xc2 && i + 1 < text.size() && static_cast<uint8_t>(text[i + 1]) < 0xa0) {
      return true;
    }
  }
  return false;
}

absl::Status CheckText(std::string_view text, std::string_view name) {
  int line = 1;
  for (size_t at = 0; at < text.size();) {
    const size_t length = Utf8SequenceLength(text.substr(at));
    if (length == 0) {
      return InvalidArgument(
          "{}:{}: bytes that are no UTF-8, from {} on; save the file as UTF-8: names and keys are "
          "compared as that",
          name, line, Quoted(text.substr(at, 1)));
    }
    if (text[at] == '\r' && !text.substr(at + 1).starts_with('\n')) {
      return InvalidArgument(
          "{}:{}: a carriage return without a line feed behind it: some programs would show two "
          "lines where there is one; end lines with a line feed, or with both",
          name, line);
    }
    if (text[at] == '\n') ++line;
    at += length;
  }
  return absl::OkStatus();
}

}  // namespace mokv::auth
