#include "rpc/metadata.h"

#include <gtest/gtest.h>

namespace mokv::rpc {
namespace {

Metadata FromWire(std::string_view name, std::string_view value) {
  Metadata metadata;
  AppendFromWire(name, value, metadata);
  return metadata;
}

TEST(MetadataTest, NamesAndValuesAreWhatHttp2Allows) {
  EXPECT_TRUE(IsMetadata("fate", "not-done"));
  EXPECT_TRUE(IsMetadata("a-1_b.c", ""));
  EXPECT_TRUE(IsMetadata("x-bin", std::string_view("\0\xff\n", 3)));
  for (const std::string_view name : {"", "Fate", "a b", "grpc-status", ":path", "te", "ü"}) {
    EXPECT_FALSE(IsMetadata(name, "x")) << name;
  }
  for (const std::string_view value : {" x", "x ", "a\nb", "\x7f", "ü"}) {
    EXPECT_FALSE(IsMetadata("fate", value)) << value;
  }
}

TEST(MetadataTest, BinaryValuesAreBase64WithoutPadding) {
  EXPECT_EQ(WireValue({"plain", "ab"}), "ab");
  EXPECT_EQ(WireValue({"x-bin", ""}), "");
  EXPECT_EQ(WireValue({"x-bin", "a"}), "YQ");
  EXPECT_EQ(WireValue({"x-bin", std::string("\xab\xab\xab", 3)}), "q6ur");
}

TEST(MetadataTest, BinaryValuesComeWithPaddingAndWithout) {
  EXPECT_EQ(FromWire("x-bin", "YQ"), (Metadata{{"x-bin", "a"}}));
  EXPECT_EQ(FromWire("x-bin", "YQ=="), (Metadata{{"x-bin", "a"}}));
  EXPECT_EQ(FromWire("x-bin", "q6ur"), (Metadata{{"x-bin", "\xab\xab\xab"}}));
  EXPECT_EQ(FromWire("x-bin", ""), (Metadata{{"x-bin", ""}}));
}

TEST(MetadataTest, SplitsBinaryValuesThatWereJoined) {
  EXPECT_EQ(FromWire("x-bin", "YQ==, Yg"), (Metadata{{"x-bin", "a"}, {"x-bin", "b"}}));
  EXPECT_EQ(FromWire("x", "a, b"), (Metadata{{"x", "a, b"}}));
}

TEST(MetadataTest, WhatIsNotBase64StaysAsItIs) {
  EXPECT_EQ(FromWire("x-bin", "not base64!"), (Metadata{{"x-bin", "not base64!"}}));
}

}  // namespace
}  // namespace mokv::rpc
