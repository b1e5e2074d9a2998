#include "snapshot/format.h"

#include <bit>
#include <cstring>

#include "base/check.h"
#include "base/checksum.h"
#include "base/status.h"

namespace mokv::snapshot {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic = "mokvsnap";
constexpr uint32_t kBlockMagic = 0x6b6c6273;  // "sblk".

template <typename Number>
void Put(Number number, std::string& out) {
  out.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

template <typename Number>
Number Get(std::string_view bytes, size_t offset) {
  Number number;
  MOKV_CHECK_LE(offset + sizeof(number), bytes.size());
  std::memcpy(&number, bytes.data() + offset, sizeof(number));
  return number;
}

}  // namespace

std::string EncodeHeader(EntryId last) {
  std::string out(kMagic);
  Put(kVersion, out);
  Put(uint32_t{0}, out);
  Put(last.index.value(), out);
  Put(last.term.value(), out);
  Put(uint64_t{0}, out);
  Put(Checksum64(out), out);
  MOKV_CHECK_EQ(out.size(), kHeaderBytes);
  return out;
}

absl::StatusOr<EntryId> DecodeHeader(std::string_view bytes) {
  MOKV_CHECK_GE(bytes.size(), kHeaderBytes);
  bytes = bytes.substr(0, kHeaderBytes);
  if (bytes.substr(0, kMagic.size()) != kMagic) return DataLoss("not a snapshot of mokv");
  if (Get<uint64_t>(bytes, 40) != Checksum64(bytes.substr(0, 40))) {
    return DataLoss("the header, at offset 0, does not verify");
  }
  if (const auto version = Get<uint32_t>(bytes, 8); version != kVersion) {
    return FailedPrecondition(
        "it has version {}, and this program reads version {}; use the "
        "program that wrote it, or a newer one",
        version, kVersion);
  }
  return EntryId{Index(Get<uint64_t>(bytes, 16)), Term(Get<uint64_t>(bytes, 24))};
}

uint64_t SeedOf(EntryId last) { return Checksum64(EncodeHeader(last)); }

void EncodeBlock(const Block& block, uint64_t offset, uint64_t seed, std::string& out) {
  MOKV_CHECK(!block.section.empty());
  MOKV_CHECK_LE(block.section.size(), kSectionNameBytesMax);
  MOKV_CHECK_LE(block.payload.size(), kBlockBytesMax);
  const size_t begin = out.size();
  Put(uint64_t{0}, out);  // The checksum comes last.
  Put(kBlockMagic, out);
  Put(static_cast<uint32_t>(block.payload.size()), out);
  out += block.section;
  out.append(kSectionNameBytesMax - block.section.size(), '\0');
  Put(offset, out);
  Put(block.records, out);
  Put(uint32_t{0}, out);
  MOKV_CHECK_EQ(out.size() - begin, kBlockHeaderBytes);
  out += block.payload;
  const uint64_t checksum =
      Checksum64(std::string_view(out).substr(begin + sizeof(uint64_t)), seed);
  std::memcpy(out.data() + begin, &checksum, sizeof(checksum));
}

absl::StatusOr<BlockHeader> DecodeBlockHeader(std::string_view bytes, uint64_t offset) {
  MOKV_CHECK_GE(bytes.size(), kBlockHeaderBytes);
  BlockHeader header;
  header.checksum = Get<uint64_t>(bytes, 0);
  header.payload_bytes = Get<uint32_t>(bytes, 12);
  const std::string_view name = bytes.substr(16, kSectionNameBytesMax);
  header.section = name.substr(0, name.find('\0'));
  header.offset = Get<uint64_t>(bytes, 24);
  header.records = Get<uint32_t>(bytes, 32);
  if (Get<uint32_t>(bytes, 8) != kBlockMagic || header.offset != offset ||
      header.payload_bytes > kBlockBytesMax || header.section.empty()) {
    return DataLoss("no block begins at offset {}", offset);
  }
  return header;
}

bool Verifies(std::string_view bytes, uint64_t checksum, uint64_t seed) {
  return Checksum64(bytes.substr(sizeof(uint64_t)), seed) == checksum;
}

std::string EncodeEnd(EndRecord end) {
  std::string out;
  Put(end.blocks, out);
  Put(end.records, out);
  return out;
}

std::optional<EndRecord> DecodeEnd(std::string_view payload) {
  if (payload.size() != 2 * sizeof(uint64_t)) return std::nullopt;
  return EndRecord{Get<uint64_t>(payload, 0), Get<uint64_t>(payload, 8)};
}

}  // namespace mokv::snapshot
