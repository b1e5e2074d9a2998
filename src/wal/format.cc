#include "wal/format.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "base/checksum.h"
#include "base/status.h"

namespace mokv::wal {
namespace {

// Numbers are little endian on disk, which is how every machine that we build for keeps them.
static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic("mokvlog\0", 8);
constexpr std::string_view kSegmentPrefix = "log-";
constexpr std::string_view kSparePrefix = "spare-";
constexpr std::string_view kNameSuffix = ".seg";
constexpr size_t kNameDigits = 16;
constexpr uint64_t kHeaderChecksumOffset = 56;
// One oversized batch must not keep its memory for ever.
constexpr uint64_t kKeptBufferBytesMax = uint64_t{32} << 20;
constexpr uint64_t kFirstBufferBytes = 4096;

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

std::string NumberedName(std::string_view prefix, uint64_t generation) {
  return fmt::format("{}{:016x}{}", prefix, generation, kNameSuffix);
}

std::optional<uint64_t> ParseNumberedName(std::string_view prefix, std::string_view name) {
  if (name.size() != prefix.size() + kNameDigits + kNameSuffix.size()) return std::nullopt;
  if (!name.starts_with(prefix) || !name.ends_with(kNameSuffix)) return std::nullopt;
  uint64_t generation = 0;
  for (const char c : name.substr(prefix.size(), kNameDigits)) {
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

}  // namespace

std::string SegmentName(uint64_t generation) { return NumberedName(kSegmentPrefix, generation); }
std::string SpareName(uint64_t generation) { return NumberedName(kSparePrefix, generation); }

std::optional<uint64_t> ParseSegmentName(std::string_view name) {
  return ParseNumberedName(kSegmentPrefix, name);
}
std::optional<uint64_t> ParseSpareName(std::string_view name) {
  return ParseNumberedName(kSparePrefix, name);
}

std::string EncodeSegmentHeader(uint64_t generation) {
  MOKV_CHECK_GT(generation, 0u);
  std::string bytes(kSegmentHeaderBytes + kBatchHeaderBytes, '\0');
  kMagic.copy(bytes.data(), kMagic.size());
  Put(&bytes[8], kFormatVersion);
  Put(&bytes[16], generation);
  Put(&bytes[kHeaderChecksumOffset],
      Checksum64(std::string_view(bytes).substr(0, kHeaderChecksumOffset), generation));
  return bytes;
}

absl::StatusOr<SegmentHeader> DecodeSegmentHeader(std::string_view bytes, std::string_view path) {
  if (bytes.size() < kSegmentHeaderBytes) {
    return DataLoss("{}: damaged at offset 0: {} bytes are too few for a segment header", path,
                    bytes.size());
  }
  if (!bytes.starts_with(kMagic)) {
    return DataLoss("{}: damaged at offset 0: not a log segment, wrong magic", path);
  }
  // Before the checksum: a newer version may lay out the rest of its header in
  // another way.
  const uint32_t version = Get<uint32_t>(bytes, 8);
  if (version > kFormatVersion) {
    return FailedPrecondition("{} has log format version {}; this mokv reads up to {}", path,
                              version, kFormatVersion);
  }
  const uint64_t generation = Get<uint64_t>(bytes, 16);
  if (version == 0 || Get<uint64_t>(bytes, kHeaderChecksumOffset) !=
                          Checksum64(bytes.substr(0, kHeaderChecksumOffset), generation)) {
    return DataLoss("{}: damaged at offset 0: the segment header does not verify", path);
  }
  return SegmentHeader{.generation = generation, .version = version};
}

void BatchBuilder::Clear() {
  if (capacity_ > kKeptBufferBytesMax) {
    buffer_.reset();
    capacity_ = 0;
  }
  size_ = 0;
  records_ = 0;
  std::memset(Grow(kBatchHeaderBytes), 0, kBatchHeaderBytes);
}

void BatchBuilder::Reallocate(uint64_t needed) {
  capacity_ = std::max({needed, capacity_ * 2, kFirstBufferBytes});
  std::unique_ptr<char[]> larger = std::make_unique_for_overwrite<char[]>(capacity_);
  if (size_ > 0) std::memcpy(larger.get(), buffer_.get(), size_);
  buffer_ = std::move(larger);
}

void BatchBuilder::AddRecord(uint8_t type, uint8_t subtype, uint64_t first, uint64_t second,
                             std::string_view body) {
  MOKV_CHECK_LE(body.size(), kEntryBytesMax);
  const uint64_t padded = Aligned(body.size());
  char* const place = Grow(kRecordHeaderBytes + padded);
  Put(place, uint64_t{body.size()} << 32 | uint64_t{kGroup} << 16 | uint64_t{subtype} << 8 | type);
  Put(place + 8, first);
  Put(place + 16, second);
  if (!body.empty()) {
    // Zero for the padding; the body overwrites the rest of these bytes.
    Put(place + kRecordHeaderBytes + padded - kAlignment, uint64_t{0});
    std::memcpy(place + kRecordHeaderBytes, body.data(), body.size());
  }
  ++records_;
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

void BatchBuilder::AddStart(const SegmentStart& start) {
  char body[kStartBodyBytes];
  Put(body, start.previous_end.generation);
  Put(body + 8, start.previous_end.offset);
  Put(body + 16, start.head.index.value());
  Put(body + 24, start.head.term.value());
  AddRecord(static_cast<uint8_t>(RecordType::kStart), 0, start.previous.index.value(),
            start.previous.term.value(), {body, sizeof(body)});
}

void BatchBuilder::AddHead(EntryId head) {
  AddRecord(static_cast<uint8_t>(RecordType::kHead), 0, head.index.value(), head.term.value(), {});
}

void BatchBuilder::AddReset(EntryId last) {
  AddRecord(static_cast<uint8_t>(RecordType::kReset), 0, last.index.value(), last.term.value(), {});
}

std::string_view BatchBuilder::Finish(Position start, Position durable,
                                      uint64_t room_behind_bytes) {
  const uint64_t length = size_ - kBatchHeaderBytes;
  MOKV_CHECK_GT(records_, 0u);
  MOKV_CHECK_LE(length, kBatchBytesMax);
  MOKV_CHECK_EQ(start.offset % kAlignment, 0u);
  MOKV_CHECK(durable <= start);
  char* const header = buffer_.get();
  Put(header + 8, static_cast<uint32_t>(length));
  Put(header + 12, records_);
  Put(header + 16, start.generation);
  Put(header + 24, start.offset);
  Put(header + 32, durable.generation);
  Put(header + 40, durable.offset);
  Put(header, Checksum64({header + 8, size_ - 8}, start.generation));
  const uint64_t zero_bytes = std::min(kBatchHeaderBytes, room_behind_bytes);
  std::memset(header + size_, 0, zero_bytes);
  return {header, size_ + zero_bytes};
}

std::optional<BatchHeader> DecodeBatchHeader(std::string_view bytes, Position at) {
  if (bytes.size() < kBatchHeaderBytes) return std::nullopt;
  // A batch says where it stands. So bytes of an earlier use of the file, or a copy of a batch
  // inside somebody's value, are not taken for one.
  if (Get<uint64_t>(bytes, 24) != at.offset || Get<uint64_t>(bytes, 16) != at.generation) {
    return std::nullopt;
  }
  const uint64_t length = Get<uint32_t>(bytes, 8);
  if (length > kBatchBytesMax || length % kAlignment != 0) return std::nullopt;
  return BatchHeader{
      .checksum = Get<uint64_t>(bytes, 0),
      .size_bytes = kBatchHeaderBytes + length,
      .record_count = Get<uint32_t>(bytes, 12),
      .durable = {.generation = Get<uint64_t>(bytes, 32), .offset = Get<uint64_t>(bytes, 40)}};
}

bool BatchVerifies(const BatchHeader& header, std::string_view bytes, uint64_t generation) {
  MOKV_CHECK_EQ(bytes.size(), header.size_bytes);
  return Checksum64(bytes.substr(8), generation) == header.checksum;
}

std::optional<Batch> DecodeBatch(std::string_view bytes, Position at) {
  const std::optional<BatchHeader> header = DecodeBatchHeader(bytes, at);
  if (!header.has_value() || header->size_bytes > bytes.size()) return std::nullopt;
  const std::string_view whole = bytes.substr(0, header->size_bytes);
  if (!BatchVerifies(*header, whole, at.generation)) return std::nullopt;
  return Batch{.offset = at.offset,
               .end_offset = at.offset + header->size_bytes,
               .record_count = header->record_count,
               .durable = header->durable,
               .records = whole.substr(kBatchHeaderBytes)};
}

bool RecordCursor::IsKnown(Record record) {
  if (record.type == RecordType::kStart) return record.body.size() == kStartBodyBytes;
  return record.type >= RecordType::kEntry && record.type <= RecordType::kReset;
}

SegmentStart ToStart(const Record& record) {
  MOKV_CHECK(record.type == RecordType::kStart);
  return {.previous = record.id(),
          .previous_end = {.generation = Get<uint64_t>(record.body, 0),
                           .offset = Get<uint64_t>(record.body, 8)},
          .head = {Index(Get<uint64_t>(record.body, 16)), Term(Get<uint64_t>(record.body, 24))}};
}

std::optional<SegmentStart> StartOf(const Batch& batch) {
  RecordCursor cursor(batch.records);
  Record record;
  if (cursor.done() || !cursor.Next(record) || record.type != RecordType::kStart) {
    return std::nullopt;
  }
  return ToStart(record);
}

}  // namespace mokv::wal
