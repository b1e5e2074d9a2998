#include "wal/format.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <memory>
#include <sstream>
#include <string>

#include "base/file.h"
#include "base/status.h"

namespace mokv::wal {
namespace {

// The bytes of the worked example in docs/log-format.md. Its lines are `OFFSET  BYTES   WORDS`, all
// in hex; `00 ...` stands for zero bytes up to the next line's offset.
std::string DocumentedBytes() {
  const std::string text = PosixFileSystem().ReadFile(MOKV_WAL_DOCUMENT).value();
  const size_t begin = text.find("```\n", text.find("## Example")) + 4;
  std::istringstream lines(text.substr(begin, text.find("```", begin) - begin));
  std::string bytes;
  for (std::string line; std::getline(lines, line);) {
    bytes.resize(std::stoul(line.substr(0, 3), nullptr, 16), '\0');
    if (line.substr(8, 3) == "...") continue;
    for (size_t at = 5; at < 5 + 8 * 3; at += 3) {
      bytes += static_cast<char>(std::stoul(line.substr(at, 2), nullptr, 16));
    }
  }
  return bytes;
}

// In the way of the document, so that what differs can be found there.
std::string Hex(std::string_view bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i % 8 == 0) text += fmt::format("\n{:03x} ", i);
    text += fmt::format(" {:02x}", static_cast<unsigned char>(bytes[i]));
  }
  return text;
}

// Logs that exist look like this: a change here is a new format version.
TEST(Format, IsAsDocumented) {
  std::string bytes = EncodeSegmentHeader(1).substr(0, kSegmentHeaderBytes);
  BatchBuilder builder;
  builder.AddStart({.previous = {}, .previous_end = {}, .head = {}});
  builder.AddHardState({});
  bytes += builder.Finish({1, bytes.size()}, {});
  builder.Clear();
  builder.AddEntry({.index = Index(1),
                    .term = Term(1),
                    .type = EntryType::kCommand,
                    .payload = std::make_shared<const std::string>("hello")});
  builder.AddHardState({.term = Term(1), .vote = "n1", .commit = Index(0)});
  bytes += builder.Finish({1, bytes.size()}, {});
  EXPECT_EQ(Hex(bytes), Hex(DocumentedBytes()));
}

TEST(Format, NamesOfSegments) {
  EXPECT_EQ(SegmentName(0x1a), "log-000000000000001a.seg");
  EXPECT_EQ(ParseSegmentName("log-000000000000001a.seg"), 0x1au);
  EXPECT_EQ(SpareName(0x1a), "spare-000000000000001a.seg");
  EXPECT_EQ(ParseSpareName("spare-000000000000001a.seg"), 0x1au);
  EXPECT_EQ(ParseSpareName("log-000000000000001a.seg"), std::nullopt);
  EXPECT_EQ(ParseSegmentName("log-ffffffffffffffff.seg"), UINT64_MAX);
  for (const char* other :
       {"log-0000000000000000.seg", "log-000000000000001A.seg", "log-1.seg", "log.lock",
        "log-000000000000001a.tmp", "lag-000000000000001a.seg", "log-00000000000000-1.seg", ""}) {
    EXPECT_EQ(ParseSegmentName(other), std::nullopt) << other;
  }
}

TEST(Format, SegmentHeaderRefusesEveryFlippedBit) {
  const std::string bytes = EncodeSegmentHeader(9).substr(0, kSegmentHeaderBytes);
  const auto decoded = DecodeSegmentHeader(bytes, "f");
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->generation, 9u);
  EXPECT_EQ(decoded->version, kFormatVersion);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(DecodeSegmentHeader(flipped, "f").ok()) << "bit " << bit;
  }
  EXPECT_TRUE(absl::IsDataLoss(DecodeSegmentHeader(bytes.substr(0, 63), "f").status()));
}

TEST(Format, BatchRefusesEveryFlippedBit) {
  BatchBuilder builder;
  builder.AddTruncation(Index(7));
  builder.AddHardState({.term = Term(3), .vote = "me", .commit = Index(2)});
  const std::string bytes(builder.Finish({9, 4096}, {9, 4000}));
  ASSERT_TRUE(DecodeBatch(bytes, {9, 4096}).has_value());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(DecodeBatch(flipped, {9, 4096}).has_value()) << "bit " << bit;
  }
}

TEST(Format, NewerVersionIsRefusedByName) {
  std::string bytes = EncodeSegmentHeader(1);
  bytes[8] = 3;
  const absl::Status status = DecodeSegmentHeader(bytes, "dir/log").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_EQ(MessageOf(status), "dir/log has log format version 3; this mokv reads up to 2");
}

TEST(Format, BatchIsFollowedByZeroBytesAsFarAsThereIsRoom) {
  BatchBuilder builder;
  for (const uint64_t room : {0, 8, 47, 48, 1000}) {
    builder.Clear();
    builder.AddTruncation(Index(7));
    const uint64_t size = builder.size_bytes();
    const std::string_view bytes = builder.Finish({1, 64}, {1, 64}, room);
    EXPECT_EQ(bytes.size(), size + std::min<uint64_t>(room, 48));
    EXPECT_EQ(bytes.substr(size).find_first_not_of('\0'), std::string_view::npos);
  }
}

TEST(Format, StartComesBackAsGiven) {
  BatchBuilder builder;
  builder.AddStart({.previous = {Index(9), Term(4)},
                    .previous_end = {17, 1 << 20},
                    .head = {Index(8), Term(3)}});
  const auto batch = DecodeBatch(builder.Finish({18, 64}, {17, 1 << 20}), {18, 64});
  ASSERT_TRUE(batch.has_value());
  const auto start = StartOf(*batch);
  ASSERT_TRUE(start.has_value());
  EXPECT_EQ(start->previous, (EntryId{Index(9), Term(4)}));
  EXPECT_EQ(start->previous_end, (Position{17, 1 << 20}));
  EXPECT_EQ(start->head, (EntryId{Index(8), Term(3)}));
}

RC_GTEST_PROP(Format, RecordsComeBackAsGiven, (std::vector<std::string> payloads, uint64_t term)) {
  BatchBuilder builder;
  for (size_t i = 0; i < payloads.size(); ++i) {
    builder.AddEntry({.index = Index(i),
                      .term = Term(term),
                      .type = EntryType::kNoOp,
                      .payload = std::make_shared<const std::string>(payloads[i])});
  }
  builder.AddTruncation(Index(5));
  builder.AddHardState({.term = Term(term), .vote = "v", .commit = Index(9)});
  builder.AddHead({Index(4), Term(2)});
  builder.AddReset({Index(5), Term(3)});
  std::string bytes(builder.Finish({3, 128}, {2, 77}));
  const auto batch = DecodeBatch(bytes, {3, 128});
  RC_ASSERT(batch.has_value());
  RC_ASSERT(batch->record_count == payloads.size() + 4);
  RC_ASSERT(batch->durable == (Position{2, 77}));
  RC_ASSERT(batch->end_offset == 128 + bytes.size());
  RecordCursor cursor(batch->records);
  Record record;
  for (const std::string& payload : payloads) {
    RC_ASSERT(cursor.Next(record));
    RC_ASSERT(record.body == payload);
  }
  RC_ASSERT(cursor.Next(record) && record.type == RecordType::kTruncation);
  RC_ASSERT(cursor.Next(record) && record.second == 9u);
  RC_ASSERT(cursor.Next(record) && record.type == RecordType::kHead);
  RC_ASSERT(cursor.Next(record) && record.id() == (EntryId{Index(5), Term(3)}));
  RC_ASSERT(cursor.done());
  // Neither of another generation, nor anywhere else, nor cut short.
  RC_ASSERT(!DecodeBatch(bytes, {4, 128}).has_value());
  RC_ASSERT(!DecodeBatch(bytes, {3, 136}).has_value());
  bytes.pop_back();
  RC_ASSERT(!DecodeBatch(bytes, {3, 128}).has_value());
}

TEST(Format, NextEntryTakesOnlyWhatFollows) {
  BatchBuilder builder;
  for (const uint64_t index : {4, 5}) {
    builder.AddEntry({.index = Index(index),
                      .term = Term(2),
                      .type = EntryType::kCommand,
                      .payload = std::make_shared<const std::string>("payload")});
  }
  builder.AddTruncation(Index(6));
  std::string bytes(builder.Finish({1, 64}, {}));
  std::string_view records = std::string_view(bytes).substr(kBatchHeaderBytes);
  Record record;
  RecordCursor cursor(records);
  EXPECT_FALSE(cursor.NextEntry(5, 2, record));
  EXPECT_FALSE(cursor.NextEntry(4, 3, record));
  ASSERT_TRUE(cursor.NextEntry(4, 2, record));
  EXPECT_EQ(record.id(), (EntryId{Index(4), Term(2)}));
  EXPECT_EQ(record.subtype, static_cast<uint8_t>(EntryType::kCommand));
  EXPECT_EQ(record.body, "payload");
  ASSERT_TRUE(cursor.NextEntry(5, 2, record));
  EXPECT_FALSE(cursor.NextEntry(6, 0, record));  // A truncation.
  ASSERT_TRUE(cursor.Next(record));
  EXPECT_EQ(record.type, RecordType::kTruncation);
  EXPECT_FALSE(cursor.NextEntry(7, 2, record));
  // Cut short, and of another group.
  EXPECT_FALSE(RecordCursor(records.substr(0, 31)).NextEntry(4, 2, record));
  EXPECT_FALSE(RecordCursor(records.substr(0, 23)).NextEntry(4, 2, record));
  bytes[kBatchHeaderBytes + 3] = '\x01';
  EXPECT_FALSE(
      RecordCursor(std::string_view(bytes).substr(kBatchHeaderBytes)).NextEntry(4, 2, record));
}

TEST(Format, MalformedRecordsEndTheWalk) {
  Record record;
  EXPECT_FALSE(RecordCursor(std::string(8, '\1')).Next(record));     // Too short.
  EXPECT_FALSE(RecordCursor(std::string(24, '\0')).Next(record));    // Type 0.
  EXPECT_FALSE(RecordCursor(std::string(24, '\x7f')).Next(record));  // Type unknown.
  std::string start(24, '\0');
  start[0] = static_cast<char>(RecordType::kStart);
  EXPECT_FALSE(RecordCursor(start).Next(record));  // Without its body.
  std::string too_long(24, '\0');
  too_long[0] = 1;
  too_long[7] = '\xff';
  EXPECT_FALSE(RecordCursor(too_long).Next(record));
}

}  // namespace
}  // namespace mokv::wal
