// Arbitrary bytes as a snapshot file: reading it never crashes, hangs or takes memory for what is
// not there. The first byte says whether the checksums are mended first, so that what lies behind
// them is reached.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "base/checksum.h"
#include "base/testing/crash_file_system.h"
#include "snapshot/reader.h"

namespace mokv::snapshot {
namespace {

// Gives header and blocks their checksums.
std::string Mended(std::string bytes) {
  if (bytes.size() < kHeaderBytes) return bytes;
  const std::string header = EncodeHeader({Index(1), Term(1)});
  bytes.replace(0, kHeaderBytes, header);
  const uint64_t seed = SeedOf({Index(1), Term(1)});
  for (uint64_t offset = kHeaderBytes; offset + kBlockHeaderBytes <= bytes.size();) {
    uint32_t length = 0;
    std::memcpy(&length, &bytes[offset + 12], sizeof(length));
    const size_t room = bytes.size() - offset - kBlockHeaderBytes;
    length = static_cast<uint32_t>(std::min<size_t>(length, room));
    Block block{.section = "s", .payload = bytes.substr(offset + kBlockHeaderBytes, length)};
    std::memcpy(&block.records, &bytes[offset + 32], sizeof(block.records));
    if (bytes[offset] % 4 == 0) block.section = kEndSection;
    std::string encoded;
    EncodeBlock(block, offset, seed, encoded);
    bytes.replace(offset, encoded.size(), encoded);
    offset += encoded.size();
  }
  return bytes;
}

void Read(std::string_view input) {
  if (input.empty()) return;
  std::string bytes(input.substr(1));
  if (input[0] % 2 == 0) bytes = Mended(std::move(bytes));
  CrashFileSystem files;
  const std::unique_ptr<File> file = *files.Open("f", FileSystem::OpenMode::kCreateNew);
  MOKV_CHECK(file->WriteAt(0, bytes).ok());
  absl::StatusOr<Reader> reader = Reader::Open(*file, "f");
  if (!reader.ok()) return;
  while (true) {
    const auto block = reader->Next();
    if (!block.ok() || !block->has_value()) return;
    MOKV_CHECK_LE((*block)->payload.size(), bytes.size());
  }
}

}  // namespace
}  // namespace mokv::snapshot

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mokv::snapshot::Read({reinterpret_cast<const char*>(data), size});
  return 0;
}
