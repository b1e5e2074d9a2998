#include "base/utf8.h"

#include <absl/strings/escaping.h>

#include <cstdint>
#include <cstring>

namespace mokv {
namespace {

bool IsContinuation(unsigned char byte) { return (byte & 0xc0) == 0x80; }

}  // namespace

size_t Utf8SequenceLength(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xc2) return 0;
  if (lead < 0xe0) return text.size() >= 2 && IsContinuation(byte(1)) ? 2 : 0;
  if (lead < 0xf0) {
    if (text.size() < 3 || !IsContinuation(byte(1)) || !IsContinuation(byte(2))) return 0;
    if (lead == 0xe0 && byte(1) < 0xa0) return 0;  // Overlong.
    if (lead == 0xed && byte(1) > 0x9f) return 0;  // Surrogate.
    return 3;
  }
  if (lead > 0xf4 || text.size() < 4) return 0;
  if (!IsContinuation(byte(1)) || !IsContinuation(byte(2)) || !IsContinuation(byte(3))) return 0;
  if (lead == 0xf0 && byte(1) < 0x90) return 0;  // Overlong.
  if (lead == 0xf4 && byte(1) > 0x8f) return 0;  // Beyond U+10FFFF.
  return 4;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    // Keys are mostly ASCII: eight bytes at a time while none has its high bit set.
    while (text.size() >= 8) {
      uint64_t word;
      std::memcpy(&word, text.data(), sizeof(word));
      if ((word & 0x8080808080808080) != 0) break;
      text.remove_prefix(8);
    }
    if (text.empty()) return true;
    const size_t length = Utf8SequenceLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string Quoted(std::string_view bytes) {
  return '"' + absl::CHexEscape(absl::string_view(bytes.data(), bytes.size())) + '"';
}

}  // namespace mokv
