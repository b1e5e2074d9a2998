#include "serf/msgpack.h"

#include <bit>
#include <limits>

namespace mokv::serf {
namespace {

// What a value's first byte says: how many bytes follow it, and how many values.
struct Shape {
  bool valid = true;
  size_t length_bytes = 0;  // Of the length or count that follows.
  size_t body_bytes = 0;    // When the length is in the first byte, or the type's own.
  bool counts_values = false;
  uint64_t values = 0;  // Contained values, when the count is in the first byte.
  uint64_t values_per_count = 1;
  size_t extra_bytes = 0;  // Beyond a length: the type byte of an ext.
};

Shape ShapeOf(uint8_t first) {
  if (first <= 0x7f || first >= 0xe0) return {};
  if (first <= 0x8f) return {.values = 2 * uint64_t{first & 0x0fu}};
  if (first <= 0x9f) return {.values = first & 0x0fu};
  if (first <= 0xbf) return {.body_bytes = first & 0x1fu};
  switch (first) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return {};
    case 0xc4:
    case 0xd9:
      return {.length_bytes = 1};
    case 0xc5:
    case 0xda:
      return {.length_bytes = 2};
    case 0xc6:
    case 0xdb:
      return {.length_bytes = 4};
    case 0xc7:
      return {.length_bytes = 1, .extra_bytes = 1};
    case 0xc8:
      return {.length_bytes = 2, .extra_bytes = 1};
    case 0xc9:
      return {.length_bytes = 4, .extra_bytes = 1};
    case 0xcc:
    case 0xd0:
      return {.body_bytes = 1};
    case 0xcd:
    case 0xd1:
      return {.body_bytes = 2};
    case 0xca:
    case 0xce:
    case 0xd2:
      return {.body_bytes = 4};
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return {.body_bytes = 8};
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
      return {.body_bytes = 1 + (size_t{1} << (first - 0xd4))};
    case 0xdc:
      return {.length_bytes = 2, .counts_values = true};
    case 0xdd:
      return {.length_bytes = 4, .counts_values = true};
    case 0xde:
      return {.length_bytes = 2, .counts_values = true, .values_per_count = 2};
    case 0xdf:
      return {.length_bytes = 4, .counts_values = true, .values_per_count = 2};
    default:
      return {.valid = false};  // 0xc1 is no type at all.
  }
}

uint64_t ReadBigEndian(std::string_view bytes) {
  uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<uint8_t>(c);
  return value;
}

}  // namespace

// ---- Writing.

void MsgpackWriter::BigEndian(uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    out_.push_back(static_cast<char>(value >> shift));
  }
}

void MsgpackWriter::Map(uint32_t pairs) {
  if (pairs <= 15) {
    out_.push_back(static_cast<char>(0x80 | pairs));
  } else if (pairs <= 0xffff) {
    out_.push_back('\xde');
    BigEndian(pairs, 2);
  } else {
    out_.push_back('\xdf');
    BigEndian(pairs, 4);
  }
}

void MsgpackWriter::Array(uint32_t elements) {
  if (elements <= 15) {
    out_.push_back(static_cast<char>(0x90 | elements));
  } else if (elements <= 0xffff) {
    out_.push_back('\xdc');
    BigEndian(elements, 2);
  } else {
    out_.push_back('\xdd');
    BigEndian(elements, 4);
  }
}

void MsgpackWriter::Raw(std::string_view bytes) {
  if (bytes.size() <= 31) {
    out_.push_back(static_cast<char>(0xa0 | bytes.size()));
  } else if (bytes.size() <= 0xffff) {
    out_.push_back('\xda');
    BigEndian(bytes.size(), 2);
  } else {
    out_.push_back('\xdb');
    BigEndian(bytes.size(), 4);
  }
  out_.append(bytes);
}

void MsgpackWriter::Uint(uint64_t value) {
  if (value <= 0x7f) {
    out_.push_back(static_cast<char>(value));
  } else if (value <= 0xff) {
    out_.push_back('\xcc');
    BigEndian(value, 1);
  } else if (value <= 0xffff) {
    out_.push_back('\xcd');
    BigEndian(value, 2);
  } else if (value <= 0xffffffff) {
    out_.push_back('\xce');
    BigEndian(value, 4);
  } else {
    out_.push_back('\xcf');
    BigEndian(value, 8);
  }
}

void MsgpackWriter::Int(int64_t value) {
  if (value >= 0) return Uint(static_cast<uint64_t>(value));
  if (value >= -32) {
    out_.push_back(static_cast<char>(value));
  } else if (value >= std::numeric_limits<int8_t>::min()) {
    out_.push_back('\xd0');
    BigEndian(static_cast<uint64_t>(value), 1);
  } else if (value >= std::numeric_limits<int16_t>::min()) {
    out_.push_back('\xd1');
    BigEndian(static_cast<uint64_t>(value), 2);
  } else if (value >= std::numeric_limits<int32_t>::min()) {
    out_.push_back('\xd2');
    BigEndian(static_cast<uint64_t>(value), 4);
  } else {
    out_.push_back('\xd3');
    BigEndian(static_cast<uint64_t>(value), 8);
  }
}

void MsgpackWriter::Bool(bool value) { out_.push_back(value ? '\xc3' : '\xc2'); }
void MsgpackWriter::Nil() { out_.push_back('\xc0'); }

void MsgpackWriter::Double(double value) {
  out_.push_back('\xcb');
  BigEndian(std::bit_cast<uint64_t>(value), 8);
}

// ---- Reading.

bool MsgpackReader::Take(size_t bytes, std::string_view* taken) {
  if (bytes > rest_.size()) return false;
  *taken = rest_.substr(0, bytes);
  rest_.remove_prefix(bytes);
  return true;
}

bool MsgpackReader::TakeByte(uint8_t* byte) {
  if (rest_.empty()) return false;
  *byte = static_cast<uint8_t>(rest_.front());
  rest_.remove_prefix(1);
  return true;
}

bool MsgpackReader::BigEndian(int bytes, uint64_t* value) {
  std::string_view taken;
  if (!Take(static_cast<size_t>(bytes), &taken)) return false;
  *value = ReadBigEndian(taken);
  return true;
}

bool MsgpackReader::Map(uint32_t* pairs) {
  uint8_t first = 0;
  uint64_t count = 0;
  if (!TakeByte(&first)) return false;
  if (first >= 0x80 && first <= 0x8f) {
    count = first & 0x0fu;
  } else if (first == 0xde || first == 0xdf) {
    if (!BigEndian(first == 0xde ? 2 : 4, &count)) return false;
  } else if (first != 0xc0) {
    return false;
  }
  *pairs = static_cast<uint32_t>(count);
  return true;
}

bool MsgpackReader::Array(uint32_t* elements) {
  uint8_t first = 0;
  uint64_t count = 0;
  if (!TakeByte(&first)) return false;
  if (first >= 0x90 && first <= 0x9f) {
    count = first & 0x0fu;
  } else if (first == 0xdc || first == 0xdd) {
    if (!BigEndian(first == 0xdc ? 2 : 4, &count)) return false;
  } else if (first != 0xc0) {
    return false;
  }
  *elements = static_cast<uint32_t>(count);
  return true;
}

bool MsgpackReader::Raw(std::string_view* bytes) {
  uint8_t first = 0;
  uint64_t size = 0;
  if (!TakeByte(&first)) return false;
  switch (first) {
    case 0xc0:
      break;
    case 0xc4:
    case 0xd9:
      if (!BigEndian(1, &size)) return false;
      break;
    case 0xc5:
    case 0xda:
      if (!BigEndian(2, &size)) return false;
      break;
    case 0xc6:
    case 0xdb:
      if (!BigEndian(4, &size)) return false;
      break;
    default:
      if (first < 0xa0 || first > 0xbf) return false;
      size = first & 0x1fu;
  }
  return Take(size, bytes);
}

bool MsgpackReader::Text(std::string_view* text) {
  if (!rest_.empty() && rest_.front() >= '\xc4' && rest_.front() <= '\xc6') return false;
  return Raw(text);
}

bool MsgpackReader::Uint(uint64_t* value) {
  if (!rest_.empty()) {
    const auto first = static_cast<uint8_t>(rest_.front());
    if (first >= 0xcc && first <= 0xcf) {
      rest_.remove_prefix(1);
      return BigEndian(1 << (first - 0xcc), value);
    }
  }
  int64_t number = 0;
  if (!Int(&number) || number < 0) return false;
  *value = static_cast<uint64_t>(number);
  return true;
}

bool MsgpackReader::Int(int64_t* value) {
  uint8_t first = 0;
  if (!TakeByte(&first)) return false;
  uint64_t bits = 0;
  if (first <= 0x7f || first >= 0xe0) {
    // A small number of either sign.
    *value = static_cast<int8_t>(first);  // NOLINT(bugprone-signed-char-misuse)
    return true;
  }
  if (first == 0xc0) {
    *value = 0;
    return true;
  }
  if (first >= 0xcc && first <= 0xcf) {
    if (!BigEndian(1 << (first - 0xcc), &bits)) return false;
    *value = static_cast<int64_t>(bits);
    return bits <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  }
  if (first < 0xd0 || first > 0xd3) return false;
  const int bytes = 1 << (first - 0xd0);
  if (!BigEndian(bytes, &bits)) return false;
  const int unused = 64 - 8 * bytes;
  *value = static_cast<int64_t>(bits << unused) >> unused;  // Extends the sign.
  return true;
}

bool MsgpackReader::Bool(bool* value) {
  uint8_t first = 0;
  if (!TakeByte(&first) || (first != 0xc0 && first != 0xc2 && first != 0xc3)) return false;
  *value = first == 0xc3;
  return true;
}

bool MsgpackReader::Double(double* value) {
  uint8_t first = 0;
  uint64_t bits = 0;
  if (!TakeByte(&first)) return false;
  if (first == 0xc0) {
    *value = 0;
    return true;
  }
  if (first == 0xca) {
    if (!BigEndian(4, &bits)) return false;
    *value = static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits)));
    return true;
  }
  if (first != 0xcb || !BigEndian(8, &bits)) return false;
  *value = std::bit_cast<double>(bits);
  return true;
}

bool MsgpackReader::Skip() {
  MsgpackScanner scanner;
  scanner.Start(0, 1);
  if (scanner.Scan(rest_) != MsgpackScanner::Result::kDone) return false;
  rest_.remove_prefix(scanner.offset());
  return true;
}

// ---- Scanning.

MsgpackScanner::Result MsgpackScanner::Scan(std::string_view buffer) {
  while (remaining_ > 0) {
    if (offset_ >= buffer.size()) return Result::kMore;
    const Shape shape = ShapeOf(static_cast<uint8_t>(buffer[offset_]));
    if (!shape.valid) return Result::kMalformed;
    const size_t head = 1 + shape.length_bytes;
    if (buffer.size() - offset_ < head) return Result::kMore;
    const uint64_t count = ReadBigEndian(buffer.substr(offset_ + 1, shape.length_bytes));
    const uint64_t body = shape.extra_bytes + (shape.counts_values ? 0 : count) + shape.body_bytes;
    if (buffer.size() - offset_ - head < body) return Result::kMore;
    offset_ += head + body;
    const uint64_t inner = shape.counts_values ? count * shape.values_per_count : shape.values;
    // Each value takes a byte at least, so a stream's limit bounds this before it overflows; a
    // nest of large counts must not wrap around.
    if (inner > (uint64_t{1} << 40) || remaining_ > (uint64_t{1} << 40)) return Result::kMalformed;
    remaining_ += inner;
    --remaining_;
  }
  return Result::kDone;
}

}  // namespace mokv::serf
