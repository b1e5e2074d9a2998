#include "wal/format.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/checksum.h"
#include "base/status.h"

namespace mokv::wal {
namespace {

// Numbers are little endian on disk, which is how every machine that we build for keeps them.
static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic("mokvlog\0", 8);
constexpr std::string_view kNamePrefix = "log-";
constexpr std::string_view kNameSuffix = ".seg";
constexpr size_t kNameDigits = 16;
// One oversized batch must not keep its memory for ever.
constexpr size_t kKeptBufferBytesMax = size_t{32} << 20;

template <typename Number>
void Put(char* to, Number value) {
  std::memcpy(to, &value, sizeof(value));
}

template <typename Number>
Number Get(std::string_view bytes, uint64_t offset) {
  MOKV_DCHECK(offset + sizeof(Number) <= bytes.size());
  Number value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

constexpr uint64_t Aligned(uint64_t size) {
  return (size + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

std::string SegmentName(uint64_t generation) {
  return fmt::format("{}{:016x}{}", kNamePrefix, generation, kNameSuffix);
}

std::optional<uint64_t> ParseSegmentName(std::string_view name) {
  if (name.size() != kNamePrefix.size() + kNameDigits + kNameSuffix.size()) return std::nullopt;
  if (!name.starts_with(kNamePrefix) || !name.ends_with(kNameSuffix)) return std::nullopt;
  uint64_t generation = 0;
  for (const char c : name.substr(kNamePrefix.size(), kNameDigits)) {
    uint64_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint64_t>(c - 'a' + 10);
    } else {
      return std::nullopt;
    }
    generation = generation << 4 | digit;
  }
  if (generation == 0) return std::nullopt;
  return generation;
}

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  MOKV_CHECK_GT(header.generation, header.previous_end.generation);
  std::string bytes(kSegmentHeaderBytes, '\0');
  kMagic.copy(bytes.data(), kMagic.size());
  Put(&bytes[8], kFormatVersion);
  Put(&bytes[16], header.generation);
  Put(&bytes[24], header.first_index.value());
  Put(&bytes[32], header.previous_term.value());
  Put(&bytes[40], header.previous_end.generation);
  Put(&bytes[48], header.previous_end.offset);
  Put(&bytes[56], Checksum64(std::string_view(bytes).substr(0, 56), header.generation));
  return bytes;
}

absl::StatusOr<SegmentHeader> DecodeSegmentHeader(std::string_view bytes, std::string_view path) {
  if (bytes.size() < kSegmentHeaderBytes) {
    return DataLoss("{}: {} bytes are too few for a segment header", path, bytes.size());
  }
  if (!bytes.starts_with(kMagic)) return DataLoss("{}: not a log segment: wrong magic", path);
  // Before the checksum: a newer version may lay out the rest of its header in another way.
  const uint32_t version = Get<uint32_t>(bytes, 8);
  if (version > kFormatVersion) {
    return FailedPrecondition("{} has log format version {}; this mokv reads up to {}", path,
                              version, kFormatVersion);
  }
  const uint64_t generation = Get<uint64_t>(bytes, 16);
  if (version == 0 || Get<uint64_t>(bytes, 56) != Checksum64(bytes.substr(0, 56), generation)) {
    return DataLoss("{}: the segment header at offset 0 does not verify", path);
  }
  return SegmentHeader{
      .generation = generation,
      .first_index = Index(Get<uint64_t>(bytes, 24)),
      .previous_term = Term(Get<uint64_t>(bytes, 32)),
      .previous_end = {.generation = Get<uint64_t>(bytes, 40), .offset = Get<uint64_t>(bytes, 48)}};
}

void BatchBuilder::Clear() {
  if (bytes_.capacity() > kKeptBufferBytesMax) std::string().swap(bytes_);
  bytes_.assign(kBatchHeaderBytes, '\0');
  records_ = 0;
}

void BatchBuilder::AddEntry(const Entry& entry) {
  AddRecord(static_cast<uint8_t>(RecordType::kEntry), static_cast<uint8_t>(entry.type),
            entry.index.value(), entry.term.value(), entry.bytes());
}

void BatchBuilder::AddHardState(const HardState& hard_state) {
  AddRecord(static_cast<uint8_t>(RecordType::kHardState), 0, hard_state.term.value(),
            hard_state.commit.value(), hard_state.vote);
}

void BatchBuilder::AddTruncation(Index from) {
  AddRecord(static_cast<uint8_t>(RecordType::kTruncation), 0, from.value(), 0, {});
}

void BatchBuilder::AddRecord(uint8_t type, uint8_t subtype, uint64_t first, uint64_t second,
                             std::string_view body) {
  MOKV_CHECK_LE(body.size(), kBatchBytesMax);
  char header[kRecordHeaderBytes] = {};
  Put(header, type);
  Put(header + 1, subtype);
  Put(header + 4, static_cast<uint32_t>(body.size()));
  Put(header + 8, first);
  Put(header + 16, second);
  bytes_.append(header, sizeof(header));
  bytes_.append(body);
  bytes_.append(Aligned(body.size()) - body.size(), '\0');
  ++records_;
}

std::string_view BatchBuilder::Finish(Position start, Position durable) {
  const uint64_t length = bytes_.size() - kBatchHeaderBytes;
  MOKV_CHECK_GT(records_, 0u);
  MOKV_CHECK_LE(length, kBatchBytesMax);
  MOKV_CHECK_EQ(start.offset % kAlignment, 0u);
  MOKV_CHECK(durable <= start);
  Put(&bytes_[8], static_cast<uint32_t>(length));
  Put(&bytes_[12], records_);
  Put(&bytes_[16], start.offset);
  Put(&bytes_[24], durable.generation);
  Put(&bytes_[32], durable.offset);
  Put(&bytes_[0], Checksum64(std::string_view(bytes_).substr(8), start.generation));
  return bytes_;
}

std::optional<Batch> DecodeBatch(std::string_view segment, uint64_t offset, uint64_t generation) {
  MOKV_CHECK_EQ(offset % kAlignment, 0u);
  if (offset > segment.size() || segment.size() - offset < kBatchHeaderBytes) return std::nullopt;
  const std::string_view bytes = segment.substr(offset);
  // A batch says where it stands: a cheap test that nearly all bytes fail when we search for one,
  // and the reason why a copy of a batch inside of somebody's value is not taken for a batch.
  if (Get<uint64_t>(bytes, 16) != offset) return std::nullopt;
  const uint64_t length = Get<uint32_t>(bytes, 8);
  if (length > kBatchBytesMax || length % kAlignment != 0) return std::nullopt;
  if (length > bytes.size() - kBatchHeaderBytes) return std::nullopt;
  const uint64_t size = kBatchHeaderBytes + length;
  if (Get<uint64_t>(bytes, 0) != Checksum64(bytes.substr(8, size - 8), generation)) {
    return std::nullopt;
  }
  return Batch{
      .records = bytes.substr(kBatchHeaderBytes, length),
      .record_count = Get<uint32_t>(bytes, 12),
      .durable = {.generation = Get<uint64_t>(bytes, 24), .offset = Get<uint64_t>(bytes, 32)},
      .end_offset = offset + size};
}

std::optional<Record> RecordCursor::Next() {
  MOKV_CHECK(!done());
  if (rest_.size() < kRecordHeaderBytes) return std::nullopt;
  const uint8_t type = Get<uint8_t>(rest_, 0);
  if (type < static_cast<uint8_t>(RecordType::kEntry) ||
      type > static_cast<uint8_t>(RecordType::kTruncation)) {
    return std::nullopt;
  }
  const uint64_t length = Get<uint32_t>(rest_, 4);
  const uint64_t size = kRecordHeaderBytes + Aligned(length);
  if (size > rest_.size()) return std::nullopt;
  const Record record{.type = static_cast<RecordType>(type),
                      .subtype = Get<uint8_t>(rest_, 1),
                      .first = Get<uint64_t>(rest_, 8),
                      .second = Get<uint64_t>(rest_, 16),
                      .body = rest_.substr(kRecordHeaderBytes, length)};
  rest_.remove_prefix(size);
  return record;
}

}  // namespace mokv::wal
