#include "serf/lzw.h"

#include <array>
#include <vector>

namespace mokv::serf {
namespace {

constexpr uint32_t kClear = 256;
constexpr uint32_t kEnd = 257;
constexpr uint32_t kWidthMin = 9;
constexpr uint32_t kWidthMax = 12;
constexpr uint32_t kCodes = 1u << kWidthMax;

class BitWriter {
 public:
  explicit BitWriter(std::string* out) : out_(*out) {}

  void Write(uint32_t code, uint32_t width) {
    bits_ |= uint64_t{code} << count_;
    count_ += width;
    while (count_ >= 8) {
      out_.push_back(static_cast<char>(bits_));
      bits_ >>= 8;
      count_ -= 8;
    }
  }
  void Flush() {
    if (count_ > 0) out_.push_back(static_cast<char>(bits_));
  }

 private:
  std::string& out_;
  uint64_t bits_ = 0;
  uint32_t count_ = 0;
};

class BitReader {
 public:
  explicit BitReader(std::string_view bytes) : rest_(bytes) {}

  // False when the bits end.
  bool Read(uint32_t width, uint32_t* code) {
    while (count_ < width) {
      if (rest_.empty()) return false;
      bits_ |= uint64_t{static_cast<uint8_t>(rest_.front())} << count_;
      rest_.remove_prefix(1);
      count_ += 8;
    }
    *code = static_cast<uint32_t>(bits_ & ((uint64_t{1} << width) - 1));
    bits_ >>= width;
    count_ -= width;
    return true;
  }

 private:
  std::string_view rest_;
  uint64_t bits_ = 0;
  uint32_t count_ = 0;
};

// Pairs (code, next byte) that have a code of their own: an open hash, four slots for each code.
class PairTable {
 public:
  PairTable() : slots_(kSlots, 0) {}

  void Clear() { slots_.assign(kSlots, 0); }

  // The pair's code, or 0.
  uint32_t Find(uint32_t pair) const {
    for (uint32_t i = Home(pair); slots_[i] != 0; i = (i + 1) % kSlots) {
      if (slots_[i] >> kWidthMax == pair) return slots_[i] & (kCodes - 1);
    }
    return 0;
  }
  void Insert(uint32_t pair, uint32_t code) {
    uint32_t i = Home(pair);
    while (slots_[i] != 0) i = (i + 1) % kSlots;
    slots_[i] = pair << kWidthMax | code;
  }

 private:
  static constexpr uint32_t kSlots = 4 * kCodes;
  static uint32_t Home(uint32_t pair) { return (pair * 2654435761u) >> 18; }

  std::vector<uint32_t> slots_;  // pair << 12 | code; 0: free.
};

}  // namespace

std::string LzwCompress(std::string_view plain) {
  std::string packed;
  packed.reserve(plain.size() / 2 + 8);
  BitWriter out(&packed);
  uint32_t width = kWidthMin;
  uint32_t last = kEnd;  // The code defined last; a data code defines the next one.
  out.Write(kClear, width);

  PairTable pairs;
  // Counts one more code; false when the codes are used up and all begin anew.
  const auto advance = [&] {
    ++last;
    if (last == 1u << width) ++width;
    if (last < kCodes - 1) return true;
    out.Write(kClear, kWidthMax);
    width = kWidthMin;
    last = kEnd;
    pairs.Clear();
    return false;
  };
  if (!plain.empty()) {
    uint32_t code = static_cast<uint8_t>(plain.front());
    for (const char c : plain.substr(1)) {
      const uint32_t literal = static_cast<uint8_t>(c);
      const uint32_t pair = code << 8 | literal;
      if (const uint32_t known = pairs.Find(pair); known != 0) {
        code = known;
        continue;
      }
      out.Write(code, width);
      code = literal;
      if (advance()) pairs.Insert(pair, last);
    }
    out.Write(code, width);
    advance();
  }
  out.Write(kEnd, width);
  out.Flush();
  return packed;
}

LzwError LzwDecompress(std::string_view packed, size_t plain_bytes_max, std::string* plain) {
  constexpr uint32_t kNone = kCodes;
  // Where a code's expansion stands in `plain`: every code names bytes that were already written.
  struct Expansion {
    uint32_t begin;
    uint32_t size;
  };
  std::array<Expansion, kCodes> expansions{};
  BitReader in(packed);
  uint32_t width = kWidthMin;
  uint32_t next = kEnd;
  uint32_t previous = kNone;
  Expansion previous_bytes{};
  plain->clear();
  for (uint32_t code = 0;;) {
    if (!in.Read(width, &code)) return LzwError::kMalformed;
    if (code == kEnd) return LzwError::kNone;
    if (code == kClear) {
      width = kWidthMin;
      next = kEnd;
      previous = kNone;
      continue;
    }
    const auto begin = static_cast<uint32_t>(plain->size());
    if (code < kClear) {
      if (plain->size() + 1 > plain_bytes_max) return LzwError::kTooLarge;
      plain->push_back(static_cast<char>(code));
    } else {
      if (code > next) return LzwError::kMalformed;
      // The code that is being defined right now: the last expansion and its own first byte.
      const bool is_new = code == next && previous != kNone;
      const Expansion source = is_new ? previous_bytes : expansions[code];
      if (source.size == 0) return LzwError::kMalformed;  // Never defined since the last clear.
      const size_t size = source.size + (is_new ? 1 : 0);
      if (size > plain_bytes_max - plain->size()) return LzwError::kTooLarge;
      // Growing first: the source is part of the same string.
      plain->resize(plain->size() + size);
      for (size_t i = 0; i < source.size; ++i) (*plain)[begin + i] = (*plain)[source.begin + i];
      if (is_new) plain->back() = (*plain)[source.begin];
    }
    const Expansion bytes{begin, static_cast<uint32_t>(plain->size()) - begin};
    if (previous != kNone) {
      // The previous expansion followed by this one's first byte: they stand side by side.
      expansions[next] = {previous_bytes.begin, previous_bytes.size + 1};
    }
    previous = code;
    previous_bytes = bytes;
    ++next;
    if (next >= 1u << width) {
      if (width == kWidthMax) {
        previous = kNone;
        --next;
      } else {
        ++width;
      }
    }
  }
}

}  // namespace mokv::serf
