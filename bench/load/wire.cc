#include "load/wire.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/check.h"
#include "base/random.h"

namespace mokv::load {
namespace {

constexpr std::string_view kKeyPrefix = "key:";
constexpr size_t kGrpcPrefixBytes = 5;  // A compression flag and the length, big-endian.

// Protobuf's wire types, as far as these messages use them.
constexpr uint32_t kVarint = 0;
constexpr uint32_t kLengthDelimited = 2;

void AppendVarint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void AppendBytesField(std::string& out, uint32_t field, std::string_view bytes) {
  AppendVarint(out, field << 3 | kLengthDelimited);
  AppendVarint(out, bytes.size());
  out.append(bytes);
}

void AppendVarintField(std::string& out, uint32_t field, uint64_t value) {
  AppendVarint(out, field << 3 | kVarint);
  AppendVarint(out, value);
}

uint32_t DigitsSize(uint32_t key_bytes) {
  return std::min(key_bytes - static_cast<uint32_t>(kKeyPrefix.size()), kKeyDigitsMax);
}

std::string ZeroKey(uint32_t key_bytes) {
  std::string key(key_bytes, '0');
  key.replace(0, kKeyPrefix.size(), kKeyPrefix);
  return key;
}

// Bytes that do not compress and are the same in every run.
std::string MakeValue(const LoadOptions& options) {
  SeededRandom random(options.seed);
  std::string value(options.value_bytes, '\0');
  for (char& byte : value) byte = static_cast<char>(random.Next());
  return value;
}

void PrependGrpcPrefix(std::string& message) {
  const size_t size = message.size();
  const char prefix[kGrpcPrefixBytes] = {0, static_cast<char>(size >> 24),
                                         static_cast<char>(size >> 16),
                                         static_cast<char>(size >> 8), static_cast<char>(size)};
  message.insert(0, prefix, kGrpcPrefixBytes);
}

Request Finish(OpKind kind, std::string path, std::string message, size_t key_end,
               uint32_t key_bytes) {
  Request request;
  request.kind = kind;
  request.path = std::move(path);
  request.message = std::move(message);
  PrependGrpcPrefix(request.message);
  if (key_bytes > 0) {
    request.digits_size = DigitsSize(key_bytes);
    request.digits_offset = static_cast<uint32_t>(kGrpcPrefixBytes + key_end) - request.digits_size;
  }
  return request;
}

// A protobuf message's fields, one by one.
class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : rest_(bytes) {}

  // Moves to the next field; false at the end and when the bytes are malformed.
  bool Next() {
    if (rest_.empty()) return false;
    const std::optional<uint64_t> tag = ReadVarint();
    if (!tag) return Fail();
    field_ = static_cast<uint32_t>(*tag >> 3);
    bytes_ = {};
    number_ = 0;
    switch (*tag & 7) {
      case kVarint: {
        const std::optional<uint64_t> number = ReadVarint();
        if (!number) return Fail();
        number_ = *number;
        return true;
      }
      case kLengthDelimited: {
        const std::optional<uint64_t> size = ReadVarint();
        if (!size || *size > rest_.size()) return Fail();
        bytes_ = rest_.substr(0, *size);
        rest_.remove_prefix(*size);
        return true;
      }
      default:
        return Fail();  // None of the answers has fixed-width fields or groups.
    }
  }

  uint32_t field() const { return field_; }
  std::string_view bytes() const { return bytes_; }
  uint64_t number() const { return number_; }
  bool malformed() const { return malformed_; }

 private:
  bool Fail() {
    malformed_ = true;
    return false;
  }

  std::optional<uint64_t> ReadVarint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(rest_[0]);
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }

  std::string_view rest_;
  std::string_view bytes_;
  uint64_t number_ = 0;
  uint32_t field_ = 0;
  bool malformed_ = false;
};

// GetResponse: the value is field 2, left out when it is empty.
Verdict CheckGetResponse(std::string_view message, size_t value_bytes) {
  size_t found_bytes = 0;
  FieldReader reader(message);
  while (reader.Next()) {
    if (reader.field() == 2) found_bytes = reader.bytes().size();
  }
  return !reader.malformed() && found_bytes == value_bytes ? Verdict::kMatches : Verdict::kMismatch;
}

// SetResponse: `ok` is field 1.
Verdict CheckSetResponse(std::string_view message) {
  bool ok = false;
  FieldReader reader(message);
  while (reader.Next()) {
    if (reader.field() == 1) ok = reader.number() == 1;
  }
  return !reader.malformed() && ok ? Verdict::kMatches : Verdict::kMismatch;
}

// etcd's RangeResponse: `kvs` is field 2, and in a KeyValue the value is field 5.
Verdict CheckRangeResponse(std::string_view message, size_t value_bytes) {
  size_t items = 0;
  size_t found_bytes = 0;
  FieldReader reader(message);
  while (reader.Next()) {
    if (reader.field() != 2) continue;
    ++items;
    FieldReader item(reader.bytes());
    while (item.Next()) {
      if (item.field() == 5) found_bytes = item.bytes().size();
    }
    if (item.malformed()) return Verdict::kMismatch;
  }
  if (reader.malformed() || items > 1) return Verdict::kMismatch;
  if (items == 0) return Verdict::kMissing;
  return found_bytes == value_bytes ? Verdict::kMatches : Verdict::kMismatch;
}

// etcd's PutResponse always has its header, field 1.
Verdict CheckPutResponse(std::string_view message) {
  bool has_header = false;
  FieldReader reader(message);
  while (reader.Next()) has_header |= reader.field() == 1;
  return !reader.malformed() && has_header ? Verdict::kMatches : Verdict::kMismatch;
}

}  // namespace

uint64_t KeyCountMax(uint32_t key_bytes) {
  uint64_t count = 1;
  for (uint32_t i = 0; i < DigitsSize(key_bytes); ++i) count *= 10;
  return count;
}

Request MakeRead(const LoadOptions& options) {
  if (!options.has_keys()) return Finish(OpKind::kRead, options.path, "", 0, 0);
  std::string message;
  AppendBytesField(message, 1, ZeroKey(options.key_bytes));
  const size_t key_end = message.size();
  if (options.target == Target::kEtcd) {
    if (options.stale) AppendVarintField(message, 7, 1);  // serializable
    return Finish(OpKind::kRead, "/etcdserverpb.KV/Range", std::move(message), key_end,
                  options.key_bytes);
  }
  if (options.stale) AppendVarintField(message, 2, 1);  // consistency = STALE
  return Finish(OpKind::kRead, "/api.KV/Get", std::move(message), key_end, options.key_bytes);
}

Request MakeWrite(const LoadOptions& options) {
  MOKV_CHECK(options.has_keys());
  std::string message;
  AppendBytesField(message, 1, ZeroKey(options.key_bytes));
  const size_t key_end = message.size();
  // Protobuf leaves empty values out; so do the clients that we stand for.
  if (options.value_bytes > 0) AppendBytesField(message, 2, MakeValue(options));
  const char* path = options.target == Target::kEtcd ? "/etcdserverpb.KV/Put" : "/api.KV/Set";
  return Finish(OpKind::kWrite, path, std::move(message), key_end, options.key_bytes);
}

void FormatDigits(uint64_t key, uint32_t digits_size, KeyDigits& digits) {
  for (uint32_t i = digits_size; i-- > 0; key /= 10) digits[i] = static_cast<char>('0' + key % 10);
}

void CopyMessage(const Request& request, const KeyDigits& digits, size_t offset, size_t size,
                 char* out) {
  MOKV_DCHECK(offset + size <= request.message.size());
  std::memcpy(out, request.message.data() + offset, size);
  const size_t begin = std::max<size_t>(offset, request.digits_offset);
  const size_t end =
      std::min<size_t>(offset + size, size_t{request.digits_offset} + request.digits_size);
  if (begin < end) {
    std::memcpy(out + (begin - offset), digits.data() + (begin - request.digits_offset),
                end - begin);
  }
}

Verdict CheckAnswer(const LoadOptions& options, OpKind kind, std::string_view body) {
  if (body.size() < kGrpcPrefixBytes || body[0] != 0) return Verdict::kMismatch;
  size_t size = 0;
  for (size_t i = 1; i < kGrpcPrefixBytes; ++i) size = size << 8 | static_cast<uint8_t>(body[i]);
  const std::string_view message = body.substr(kGrpcPrefixBytes);
  if (message.size() != size) return Verdict::kMismatch;
  switch (options.target) {
    case Target::kMokv:
      return kind == OpKind::kRead ? CheckGetResponse(message, options.value_bytes)
                                   : CheckSetResponse(message);
    case Target::kEtcd:
      return kind == OpKind::kRead ? CheckRangeResponse(message, options.value_bytes)
                                   : CheckPutResponse(message);
    case Target::kEmpty:
      return message.empty() ? Verdict::kMatches : Verdict::kMismatch;
    case Target::kGrpc:
      return Verdict::kMatches;
  }
  return Verdict::kMismatch;
}

}  // namespace mokv::load
