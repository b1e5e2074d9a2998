// The bytes of a snapshot file: docs/snapshot-format.md. A header, then blocks in named sections,
// each with a checksum of its own, and a last block that says how many there were. What is in a
// section is for its owner to know; a block holds whole records.
//
// The same state makes the same bytes, on every node.
//
// Threads: plain functions and values.
// Errors:  DATA_LOSS for what does not verify, FAILED_PRECONDITION for a newer version.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/log_entry.h"

namespace mokv::snapshot {

inline constexpr uint32_t kVersion = 1;
inline constexpr size_t kHeaderBytes = 48;
inline constexpr size_t kBlockHeaderBytes = 40;
inline constexpr size_t kSectionNameBytesMax = 8;
// A writer ends a block with the record that reaches this: small enough that a damaged place is
// named closely, and that making one takes no time to speak of.
inline constexpr size_t kBlockBytes = size_t{128} << 10;
// One record of the largest value that a node can be configured for (64 MiB), behind as much as a
// block may hold before it, with room for its key and numbers.
inline constexpr size_t kBlockBytesMax = size_t{72} << 20;
// The name of the last block. Its payload: how many blocks and records came before it.
inline constexpr std::string_view kEndSection = "end";

// Bytes that belong together.
struct Block {
  std::string section;
  std::string payload;
  uint32_t records = 0;
};

// A header is known by the place in the log that the snapshot stands for: the last entry in it.
std::string EncodeHeader(EntryId last);
// `bytes`: at least kHeaderBytes.
absl::StatusOr<EntryId> DecodeHeader(std::string_view bytes);
// What every block's checksum is seeded with, so that a block of another file does not verify.
uint64_t SeedOf(EntryId last);

struct BlockHeader {
  uint64_t checksum = 0;
  std::string section;
  uint64_t offset = 0;
  uint32_t payload_bytes = 0;
  uint32_t records = 0;
};
// Appends the block, which begins at `offset` of the file, to `out`.
void EncodeBlock(const Block& block, uint64_t offset, uint64_t seed, std::string& out);
// `bytes`: at least kBlockHeaderBytes. Nothing is believed yet but that the lengths are possible.
absl::StatusOr<BlockHeader> DecodeBlockHeader(std::string_view bytes, uint64_t offset);
// Whether the checksum fits. `bytes`: header and payload.
bool Verifies(std::string_view bytes, uint64_t checksum, uint64_t seed);

struct EndRecord {
  uint64_t blocks = 0;
  uint64_t records = 0;
};
std::string EncodeEnd(EndRecord end);
std::optional<EndRecord> DecodeEnd(std::string_view payload);

}  // namespace mokv::snapshot
