#include "wal/format.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <memory>

#include "base/status.h"

namespace mokv::wal {
namespace {

std::string Hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

// The worked example of docs/log-format.md. Logs that exist look like this: a change here is a new
// format version.
TEST(Format, IsAsDocumented) {
  const std::string header = EncodeSegmentHeader(
      {.generation = 1, .first_index = Index(1), .previous_term = Term(0), .previous_end = {}});
  EXPECT_EQ(Hex(header),
            "6d6f6b766c6f67000100000000000000"
            "01000000000000000100000000000000"
            "00000000000000000000000000000000"
            "0000000000000000369560bc782d43db");
  BatchBuilder builder;
  builder.AddEntry({.index = Index(1),
                    .term = Term(1),
                    .type = EntryType::kCommand,
                    .payload = std::make_shared<const std::string>("hello")});
  builder.AddHardState({.term = Term(1), .vote = "n1", .commit = Index(0)});
  EXPECT_EQ(Hex(builder.Finish({1, 64}, {1, 64})),
            "5d00217f4c05c05d4000000002000000"
            "40000000000000000100000000000000"
            "40000000000000000102000005000000"
            "01000000000000000100000000000000"
            "68656c6c6f0000000200000002000000"
            "01000000000000000000000000000000"
            "6e31000000000000");
}

TEST(Format, NamesOfSegments) {
  EXPECT_EQ(SegmentName(0x1a), "log-000000000000001a.seg");
  EXPECT_EQ(ParseSegmentName("log-000000000000001a.seg"), 0x1au);
  EXPECT_EQ(ParseSegmentName("log-ffffffffffffffff.seg"), UINT64_MAX);
  for (const char* other :
       {"log-0000000000000000.seg", "log-000000000000001A.seg", "log-1.seg", "log.lock",
        "log-000000000000001a.tmp", "lag-000000000000001a.seg", "log-00000000000000-1.seg", ""}) {
    EXPECT_EQ(ParseSegmentName(other), std::nullopt) << other;
  }
}

TEST(Format, SegmentHeaderRefusesEveryFlippedBit) {
  const SegmentHeader header{.generation = 9,
                             .first_index = Index(100),
                             .previous_term = Term(3),
                             .previous_end = {8, 4096}};
  const std::string bytes = EncodeSegmentHeader(header);
  const auto decoded = DecodeSegmentHeader(bytes, "f");
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->generation, 9u);
  EXPECT_EQ(decoded->first_index, Index(100));
  EXPECT_EQ(decoded->previous_term, Term(3));
  EXPECT_EQ(decoded->previous_end, (Position{8, 4096}));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(DecodeSegmentHeader(flipped, "f").ok()) << "bit " << bit;
  }
  EXPECT_TRUE(absl::IsDataLoss(DecodeSegmentHeader(bytes.substr(0, 63), "f").status()));
}

TEST(Format, NewerVersionIsRefusedByName) {
  std::string bytes = EncodeSegmentHeader({.generation = 1});
  bytes[8] = 2;
  const absl::Status status = DecodeSegmentHeader(bytes, "dir/log").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_EQ(MessageOf(status), "dir/log has log format version 2; this mokv reads up to 1");
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
  const std::string prefix(128, 'p');
  std::string bytes = prefix;
  bytes += builder.Finish({3, 128}, {2, 77});
  const auto batch = DecodeBatch(bytes, 128, 3);
  RC_ASSERT(batch.has_value());
  RC_ASSERT(batch->record_count == payloads.size() + 2);
  RC_ASSERT(batch->durable == (Position{2, 77}));
  RC_ASSERT(batch->end_offset == bytes.size());
  RecordCursor cursor(batch->records);
  for (const std::string& payload : payloads) RC_ASSERT(cursor.Next()->body == payload);
  RC_ASSERT(cursor.Next()->type == RecordType::kTruncation);
  RC_ASSERT(cursor.Next()->second == 9u);
  RC_ASSERT(cursor.done());
  // Neither of another generation, nor anywhere else, nor cut short.
  RC_ASSERT(!DecodeBatch(bytes, 128, 4).has_value());
  RC_ASSERT(!DecodeBatch(std::string(8, 'p') + bytes, 136, 3).has_value());
  bytes.pop_back();
  RC_ASSERT(!DecodeBatch(bytes, 128, 3).has_value());
}

TEST(Format, MalformedRecordsEndTheWalk) {
  EXPECT_EQ(RecordCursor(std::string(8, '\1')).Next(), std::nullopt);     // Too short.
  EXPECT_EQ(RecordCursor(std::string(24, '\0')).Next(), std::nullopt);    // Type 0.
  EXPECT_EQ(RecordCursor(std::string(24, '\x7f')).Next(), std::nullopt);  // Type unknown.
  std::string too_long(24, '\0');
  too_long[0] = 1;
  too_long[7] = '\xff';
  EXPECT_EQ(RecordCursor(too_long).Next(), std::nullopt);
}

}  // namespace
}  // namespace mokv::wal
