// The bytes of the log on disk: segment header, batches, records. The layout
// and its reasons are in docs/log-format.md; change both together, and
// kFormatVersion with them.
//
// Pure functions of bytes: no files, no locks. Encoders take what we made and
// CHECK it; decoders take what a disk gave back and answer "does not verify".
#pragma once

#include <absl/status/statusor.h>

#include <compare>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/ids.h"
#include "base/log_entry.h"

namespace mokv::wal {

// The version that we write. All older ones, back to 1, can be read.
inline constexpr uint32_t kFormatVersion = 2;
// Several Raft groups are to share a log one day. Until then a record of another group than this
// one is refused. Records of version 1 are all of this group.
inline constexpr uint16_t kGroup = 0;
inline constexpr uint32_t kGroupsSinceVersion = 2;
inline constexpr uint64_t kSegmentHeaderBytes = 64;
inline constexpr uint64_t kBatchHeaderBytes = 48;
// Where in the header the batch says where it stands: generation, offset.
inline constexpr uint64_t kBatchPlaceOffset = 16;
inline constexpr uint64_t kRecordHeaderBytes = 24;
inline constexpr uint64_t kAlignment = 8;
// Names of nodes are far shorter. Together with the constants above it bounds a segment's start.
inline constexpr uint64_t kVoteBytesMax = 256;
// Header and first batch of a segment are within this.
inline constexpr uint64_t kSegmentStartBytesMax = 512;
// A length above this is damage, not a batch: it bounds what a flipped bit can make us read.
inline constexpr uint64_t kBatchBytesMax = uint64_t{512} << 20;
inline constexpr uint64_t kEntryBytesMax = kBatchBytesMax / 2;

static_assert(kSegmentHeaderBytes % kAlignment == 0 && kBatchHeaderBytes % kAlignment == 0 &&
              kRecordHeaderBytes % kAlignment == 0);

// A place in the log: generations only grow, so positions are ordered over all
// segments.
struct Position {
  uint64_t generation = 0;
  uint64_t offset = 0;

  auto operator<=>(const Position&) const = default;
};

// How a segment that is in use begins: the first record of its first batch.
struct SegmentStart {
  EntryId previous;       // Last entry of the segments before.
  Position previous_end;  // Where the segment before ends; generation 0 in the
                          // very first one.
  EntryId head;           // Entries up to this one have been cut off.
};

constexpr uint64_t Aligned(uint64_t size) {
  return (size + kAlignment - 1) / kAlignment * kAlignment;
}
// Of a record with a body of `body_bytes`.
constexpr uint64_t RecordBytes(uint64_t body_bytes) {
  return kRecordHeaderBytes + Aligned(body_bytes);
}
inline constexpr uint64_t kStartBodyBytes = 32;
// Of the first batch of a segment, which holds its start and a hard state.
inline constexpr uint64_t kStartBatchBytesMax =
    kBatchHeaderBytes + RecordBytes(kStartBodyBytes) + RecordBytes(kVoteBytesMax);
static_assert(kSegmentHeaderBytes + kStartBatchBytesMax <= kSegmentStartBytesMax);

// `log-<generation, 16 hex digits>.seg`
std::string SegmentName(uint64_t generation);
// `spare-<generation>.seg`: not part of the log.
std::string SpareName(uint64_t generation);
// Nothing when `name` is not exactly such a name.
std::optional<uint64_t> ParseSegmentName(std::string_view name);
std::optional<uint64_t> ParseSpareName(std::string_view name);

// The header, and zero bytes where the first batch will start, so that old bytes of a reused file
// are not taken for the beginning of one.
std::string EncodeSegmentHeader(uint64_t generation);
struct SegmentHeader {
  uint64_t generation = 0;
  uint32_t version = 0;
};
// FAILED_PRECONDITION for a format version above ours, DATA_LOSS for what does not verify; both
// name `path`.
absl::StatusOr<SegmentHeader> DecodeSegmentHeader(std::string_view bytes, std::string_view path);

// Collects the records of one batch. Its buffer is kept from batch to batch.
class BatchBuilder {
 public:
  BatchBuilder() { Clear(); }

  void Clear();
  void AddEntry(const Entry& entry);
  void AddHardState(const HardState& hard_state);
  void AddTruncation(Index from);
  void AddStart(const SegmentStart& start);
  void AddHead(EntryId head);
  void AddReset(EntryId last);

  // With the batch header.
  uint64_t size_bytes() const { return size_; }
  uint32_t record_count() const { return records_; }

  // Completes the header of the batch, which starts at `start`, while the log was durable up to
  // `durable`. The result is followed by up to a batch header's size of zero bytes, as far as
  // `room_behind_bytes` goes: whatever was there before is not the next batch. Valid until the next
  // call of anything here.
  std::string_view Finish(Position start, Position durable, uint64_t room_behind_bytes = 0);

 private:
  // Room for `bytes` more, which the caller fills.
  char* Grow(uint64_t bytes) {
    // Behind it the zero bytes that Finish may add.
    const uint64_t needed = size_ + bytes + kBatchHeaderBytes;
    if (needed > capacity_) [[unlikely]] {
      Reallocate(needed);
    }
    char* const place = buffer_.get() + size_;
    size_ += bytes;
    return place;
  }
  void Reallocate(uint64_t needed);
  [[gnu::always_inline]] inline void AddRecord(uint8_t type, uint8_t subtype, uint64_t first,
                                               uint64_t second, std::string_view body);

  std::unique_ptr<char[]> buffer_;
  uint64_t capacity_ = 0;
  uint64_t size_ = 0;
  uint32_t records_ = 0;
};

struct BatchHeader {
  uint64_t checksum = 0;
  uint64_t size_bytes = 0;  // Of the whole batch.
  uint32_t record_count = 0;
  Position durable;
};

// A batch that verified.
struct Batch {
  uint64_t offset = 0;
  uint64_t end_offset = 0;  // Of the byte after the batch.
  uint32_t record_count = 0;
  Position durable;
  std::string_view records;
};

// `bytes` begin at `at`. Nothing when they cannot be the header of a batch that stands there; a
// cheap test that nearly all bytes fail.
std::optional<BatchHeader> DecodeBatchHeader(std::string_view bytes, Position at);
// `bytes` are as many as the header says.
bool BatchVerifies(const BatchHeader& header, std::string_view bytes, uint64_t generation);
// The batch at the start of `bytes`, which begin at `at`; nothing when it does not verify.
std::optional<Batch> DecodeBatch(std::string_view bytes, Position at);

enum class RecordType : uint8_t {
  kEntry = 1,
  kHardState = 2,
  kTruncation = 3,
  kStart = 4,
  kHead = 5,
  kReset = 6,
};

struct Record {
  RecordType type = RecordType::kEntry;
  uint8_t subtype = 0;  // EntryType of an entry; as written, known or not.
  uint16_t group = 0;   // As written, kGroup or not.
  // Entry, start, head, reset: index and term. Hard state: term and commit.
  // Truncation: first index dropped.
  uint64_t first = 0;
  uint64_t second = 0;
  std::string_view body;  // Entry: payload. Hard state: vote. Start: the rest of it.

  EntryId id() const { return {Index(first), Term(second)}; }
};

// Walks the records of a batch that verified. In the header, since it is all that a recovery does
// for each entry besides telling of it.
class RecordCursor {
 public:
  explicit RecordCursor(std::string_view records) : rest_(records) {}
  bool done() const { return rest_.empty(); }
  // False when the record is malformed or of a type that is not known.
  [[gnu::always_inline]] inline bool Next(Record& record) {
    MOKV_DCHECK(!done());
    if (rest_.size() < kRecordHeaderBytes) return false;
    // Number by number: reads from a copy of the whole header would wait until the copy is stored.
    const char* const bytes = rest_.data();
    uint64_t word = 0;
    std::memcpy(&word, bytes, sizeof(word));
    const uint64_t length = word >> 32;
    const uint64_t size = RecordBytes(length);
    if (size > rest_.size()) return false;
    record.type = static_cast<RecordType>(word);
    record.subtype = static_cast<uint8_t>(word >> 8);
    record.group = static_cast<uint16_t>(word >> 16);
    std::memcpy(&record.first, bytes + 8, sizeof(record.first));
    std::memcpy(&record.second, bytes + 16, sizeof(record.second));
    record.body = {bytes + kRecordHeaderBytes, length};
    rest_.remove_prefix(size);
    return record.type == RecordType::kEntry || IsKnown(Record(record));
  }

  // Moves on only if the next record is an entry of kGroup with this index and term.
  [[gnu::always_inline]] inline bool NextEntry(uint64_t index, uint64_t term, Record& record) {
    if (rest_.size() < kRecordHeaderBytes) return false;
    const char* const bytes = rest_.data();
    uint64_t word = 0;
    std::memcpy(&word, bytes, sizeof(word));
    // Type and group at once.
    constexpr uint64_t kMask = 0xffff00ff;
    constexpr uint64_t kWanted = uint64_t{kGroup} << 16 | static_cast<uint64_t>(RecordType::kEntry);
    const uint64_t length = word >> 32;
    const uint64_t size = RecordBytes(length);
    std::memcpy(&record.first, bytes + 8, sizeof(record.first));
    std::memcpy(&record.second, bytes + 16, sizeof(record.second));
    if ((word & kMask) != kWanted || size > rest_.size() || record.first != index ||
        record.second != term) {
      return false;
    }
    record.type = RecordType::kEntry;
    record.subtype = static_cast<uint8_t>(word >> 8);
    record.group = kGroup;
    record.body = {bytes + kRecordHeaderBytes, length};
    rest_.remove_prefix(size);
    return true;
  }

 private:
  static bool IsKnown(Record record);

  std::string_view rest_;
};

// Of a record of type kStart whose body has the right size.
SegmentStart ToStart(const Record& record);
// The start that a batch begins with; nothing when it does not.
std::optional<SegmentStart> StartOf(const Batch& batch);

}  // namespace mokv::wal
