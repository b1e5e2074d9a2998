// The bytes of the log on disk: segment header, batches, records. The layout and its reasons are in
// docs/log-format.md; change both together, and kFormatVersion with them.
//
// Pure functions of bytes: no files, no locks. Encoders take what we made and CHECK it; decoders
// take what a disk gave back and answer "does not verify".
#pragma once

#include <absl/status/statusor.h>

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/log_entry.h"

namespace mokv::wal {

inline constexpr uint32_t kFormatVersion = 1;
inline constexpr uint64_t kSegmentHeaderBytes = 64;
inline constexpr uint64_t kBatchHeaderBytes = 40;
inline constexpr uint64_t kRecordHeaderBytes = 24;
inline constexpr uint64_t kAlignment = 8;
// A length above this is damage, not a batch: it bounds what a flipped bit can make us read. Our
// queue keeps batches far below it.
inline constexpr uint64_t kBatchBytesMax = uint64_t{512} << 20;

static_assert(kSegmentHeaderBytes % kAlignment == 0 && kBatchHeaderBytes % kAlignment == 0 &&
              kRecordHeaderBytes % kAlignment == 0);

// A place in the log: generations only grow, so positions are ordered over all segments.
struct Position {
  uint64_t generation = 0;
  uint64_t offset = 0;

  auto operator<=>(const Position&) const = default;
};

struct SegmentHeader {
  uint64_t generation = 0;  // Unique in a log; the seed of every checksum in the segment.
  Index first_index;        // Follows the last entry of the segments before.
  Term previous_term;       // Term of entry first_index - 1; 0 when there is none.
  Position previous_end;    // Where the segment before ends; generation 0 in the very first one.
};

// `log-<generation, 16 hex digits>.seg`
std::string SegmentName(uint64_t generation);
// Nothing when `name` is not exactly a segment's name.
std::optional<uint64_t> ParseSegmentName(std::string_view name);

std::string EncodeSegmentHeader(const SegmentHeader& header);
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

  // With the batch header.
  uint64_t size_bytes() const { return bytes_.size(); }

  // Completes the header of the batch, which starts at `start`, while the log was durable up to
  // `durable`. Valid until the next call of anything here.
  std::string_view Finish(Position start, Position durable);

 private:
  void AddRecord(uint8_t type, uint8_t subtype, uint64_t first, uint64_t second,
                 std::string_view body);

  std::string bytes_;
  uint32_t records_ = 0;
};

struct Batch {
  std::string_view records;
  uint32_t record_count = 0;
  Position durable;
  uint64_t end_offset = 0;  // Of the byte after the batch.
};

// The batch at `offset` of a segment's contents; nothing when it does not verify.
std::optional<Batch> DecodeBatch(std::string_view segment, uint64_t offset, uint64_t generation);

enum class RecordType : uint8_t { kEntry = 1, kHardState = 2, kTruncation = 3 };

struct Record {
  RecordType type = RecordType::kEntry;
  uint8_t subtype = 0;    // EntryType of an entry; as written, known or not.
  uint64_t first = 0;     // Entry: index. Hard state: term. Truncation: first index dropped.
  uint64_t second = 0;    // Entry: term. Hard state: commit.
  std::string_view body;  // Entry: payload. Hard state: vote.
};

// Walks the records of a batch that verified.
class RecordCursor {
 public:
  explicit RecordCursor(std::string_view records) : rest_(records) {}
  bool done() const { return rest_.empty(); }
  // Nothing when the record is malformed or of a type that is not known.
  std::optional<Record> Next();

 private:
  std::string_view rest_;
};

}  // namespace mokv::wal
