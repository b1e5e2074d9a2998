// The bytes of a snapshot file, and reading them back however they are damaged.
#include "snapshot/format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "base/checksum.h"
#include "base/status.h"
#include "base/testing/crash_file_system.h"
#include "snapshot/encoder.h"
#include "snapshot/reader.h"

namespace mokv::snapshot {
namespace {

using ::testing::HasSubstr;

constexpr EntryId kLast{Index(0x1f), Term(3)};

Block SmallBlock() { return {.section = "items", .payload = "two records", .records = 2}; }

std::string SmallFile() {
  Encoder encoder(kLast);
  encoder.Add(SmallBlock());
  encoder.Finish();
  return encoder.Take();
}

class ReaderTest : public ::testing::Test {
 protected:
  // All blocks, or the first error.
  absl::StatusOr<std::vector<Block>> ReadAll(std::string_view bytes) {
    const auto mode = files_.ReadFile("f").ok() ? FileSystem::OpenMode::kReadWrite
                                                : FileSystem::OpenMode::kCreateNew;
    const std::unique_ptr<File> file = *files_.Open("f", mode);
    EXPECT_TRUE(file->Truncate(0).ok());
    EXPECT_TRUE(file->WriteAt(0, bytes).ok());
    MOKV_ASSIGN_OR_RETURN(Reader reader, Reader::Open(*file, "f"));
    std::vector<Block> blocks;
    while (true) {
      MOKV_ASSIGN_OR_RETURN(const std::optional<BlockView> block, reader.Next());
      if (!block.has_value()) return blocks;
      blocks.push_back({std::string(block->section), std::string(block->payload), block->records});
    }
  }

  CrashFileSystem files_;
};

TEST_F(ReaderTest, GivesBackWhatWasWritten) {
  const auto blocks = ReadAll(SmallFile());
  ASSERT_TRUE(blocks.ok()) << blocks.status();
  ASSERT_EQ(blocks->size(), 1u);
  EXPECT_EQ(blocks->front().section, "items");
  EXPECT_EQ(blocks->front().payload, "two records");
  EXPECT_EQ(blocks->front().records, 2u);
}

// Blocks of all sizes around those of the reader's window.
TEST_F(ReaderTest, ReadsBlocksOfAnySize) {
  Encoder encoder(kLast);
  std::string file;
  const std::vector<size_t> sizes = {0,       1, kBlockBytes,   (1 << 20) - 41, 1 << 20,
                                     3 << 20, 7, (1 << 20) + 1, 123'456,        2 << 20};
  for (const size_t size : sizes) {
    encoder.Add({.section = "s", .payload = std::string(size, 'x'), .records = 1});
    file += encoder.Take();
  }
  encoder.Finish();
  file += encoder.Take();
  const auto blocks = ReadAll(file);
  ASSERT_TRUE(blocks.ok()) << blocks.status();
  ASSERT_EQ(blocks->size(), sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) EXPECT_EQ((*blocks)[i].payload.size(), sizes[i]);
}

TEST_F(ReaderTest, NoticesEveryFlippedBit) {
  const std::string file = SmallFile();
  for (size_t bit = 0; bit < 8 * file.size(); ++bit) {
    std::string damaged = file;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(ReadAll(damaged).ok()) << bit;
  }
}

TEST_F(ReaderTest, NoticesEveryCut) {
  const std::string file = SmallFile();
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_TRUE(absl::IsDataLoss(ReadAll(std::string_view(file).substr(0, size)).status())) << size;
  }
  EXPECT_TRUE(absl::IsDataLoss(ReadAll(file + "x").status()));
}

TEST_F(ReaderTest, NamesFileBlockAndOffset) {
  std::string file = SmallFile();
  file[kHeaderBytes + kBlockHeaderBytes] ^= 1;
  EXPECT_THAT(MessageOf(ReadAll(file).status()), HasSubstr("f: block 0, at offset 48"));
}

// Each verifies, but not in the other's place.
TEST_F(ReaderTest, NoticesBlocksOfAnotherFileOrPlace) {
  const auto file_of = [](EntryId last, std::vector<std::string> payloads) {
    Encoder encoder(last);
    for (std::string& payload : payloads) {
      encoder.Add({.section = "s", .payload = std::move(payload), .records = 1});
    }
    encoder.Finish();
    return encoder.Take();
  };
  const std::string one = file_of(kLast, {"first!", "second"});
  const std::string other = file_of({Index(0x1f), Term(4)}, {"first!", "second"});
  const size_t block = kBlockHeaderBytes + 6;
  std::string mixed = one;
  mixed.replace(kHeaderBytes, block, other, kHeaderBytes, block);
  EXPECT_FALSE(ReadAll(mixed).ok());
  std::string swapped = one;
  swapped.replace(kHeaderBytes, block, one, kHeaderBytes + block, block);
  swapped.replace(kHeaderBytes + block, block, one, kHeaderBytes, block);
  EXPECT_FALSE(ReadAll(swapped).ok());
  std::string left_out = one;
  left_out.erase(kHeaderBytes + block, block);
  EXPECT_FALSE(ReadAll(left_out).ok());
}

TEST_F(ReaderTest, RefusesANewerVersionAsSuch) {
  std::string file = SmallFile();
  file[8] = 2;
  const uint64_t checksum = Checksum64(std::string_view(file).substr(0, 40));
  std::memcpy(file.data() + 40, &checksum, sizeof(checksum));
  const absl::Status status = ReadAll(file).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(status), HasSubstr("version 2"));
}

TEST_F(ReaderTest, RefusesWhatIsNoSnapshot) {
  EXPECT_TRUE(absl::IsDataLoss(ReadAll("").status()));
  EXPECT_THAT(MessageOf(ReadAll(std::string(100, 'x')).status()),
              HasSubstr("not a snapshot of mokv"));
}

std::string Dump(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i % 8 == 0) out += fmt::format("{}{:03x} ", i == 0 ? "" : "\n", i);
    out += fmt::format(" {:02x}", static_cast<uint8_t>(bytes[i]));
  }
  return out;
}

// Goal: the page that describes the format shows the bytes that the code writes.
TEST(Format, IsAsDocumented) {
  std::ifstream in(MOKV_SNAPSHOT_DOCUMENT);
  std::string shown;
  bool inside = false;
  for (std::string line; std::getline(in, line);) {
    if (line == "```") inside = false;
    if (inside) {
      std::istringstream words(line);
      std::string word;
      words >> word;  // The offset.
      for (int i = 0; i < 8 && words >> word && word.size() == 2; ++i) {
        shown.push_back(static_cast<char>(std::stoul(word, nullptr, 16)));
      }
    }
    if (line == "```snapshot") inside = true;
  }
  const std::string file = SmallFile();
  EXPECT_TRUE(shown == file) << "it should show\n" << Dump(file);
}

}  // namespace
}  // namespace mokv::snapshot
