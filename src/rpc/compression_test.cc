#include "rpc/compression.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace mokv::rpc {
namespace {

TEST(CompressionTest, KnowsItsEncodings) {
  EXPECT_EQ(ParseEncoding("identity"), Encoding::kIdentity);
  EXPECT_EQ(ParseEncoding("gzip"), Encoding::kGzip);
  EXPECT_EQ(ParseEncoding("deflate"), std::nullopt);
  EXPECT_EQ(ParseEncoding(""), std::nullopt);
}

TEST(CompressionTest, FindsGzipAmongOthers) {
  EXPECT_TRUE(AcceptsGzip("gzip"));
  EXPECT_TRUE(AcceptsGzip("identity, deflate, gzip"));
  EXPECT_TRUE(AcceptsGzip("gzip ,br"));
  for (const std::string_view none : {"", ",", "gzipped", "identity,deflate", "x-gzip"}) {
    EXPECT_FALSE(AcceptsGzip(none)) << none;
  }
}

TEST(CompressionTest, BringsBackWhatItTook) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{16} << 10, (size_t{1} << 20) + 7}) {
    std::string message;
    for (size_t i = 0; i < size; ++i) message += static_cast<char>(i * i % 251);
    std::string compressed = "before";
    Gzip(message, &compressed);
    ASSERT_TRUE(compressed.starts_with("before"));
    std::string plain = "and";
    UncompressedCost cost;
    ASSERT_TRUE(Gunzip(std::string_view(compressed).substr(6), size, &plain, &cost).ok());
    EXPECT_EQ(plain, "and" + message);
    EXPECT_EQ(cost.bytes, size);
    EXPECT_EQ(cost.over_the_limit, size_t{0});
  }
}

TEST(CompressionTest, MakesNoMoreThanTheLimit) {
  std::string bomb;
  Gzip(std::string(size_t{64} << 20, '\0'), &bomb);
  ASSERT_LT(bomb.size(), size_t{1} << 20);
  std::string plain;
  UncompressedCost cost;
  const absl::Status status = Gunzip(bomb, 100'000, &plain, &cost);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(MessageOf(status), "a message, uncompressed, is over the limit of 100000 bytes");
  EXPECT_LE(plain.size(), size_t{100'000});
  EXPECT_GE(cost.bytes, plain.size());
  EXPECT_EQ(cost.over_the_limit, size_t{1});
}

TEST(CompressionTest, RefusesWhatIsNotOneWholeGzip) {
  std::string good;
  Gzip("a message", &good);
  std::string flipped = good;
  flipped[flipped.size() - 6] = static_cast<char>(flipped[flipped.size() - 6] ^ 1);  // Of its CRC.
  for (const std::string& bad : {std::string(), std::string("plain"),
                                 good.substr(0, good.size() - 1), good + "x", flipped}) {
    std::string plain;
    UncompressedCost cost;
    EXPECT_EQ(Gunzip(bad, 1000, &plain, &cost).code(), absl::StatusCode::kInternal) << bad.size();
  }
}

}  // namespace
}  // namespace mokv::rpc
