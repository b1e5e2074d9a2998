#include "rpc/grpc_wire.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace mokv::rpc {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST(Timeout, ReadsEveryUnit) {
  EXPECT_EQ(ParseTimeout("2H"), hours(2));
  EXPECT_EQ(ParseTimeout("3M"), std::chrono::minutes(3));
  EXPECT_EQ(ParseTimeout("10S"), seconds(10));
  EXPECT_EQ(ParseTimeout("250m"), milliseconds(250));
  EXPECT_EQ(ParseTimeout("7u"), std::chrono::microseconds(7));
  EXPECT_EQ(ParseTimeout("99999999n"), nanoseconds(99'999'999));
  EXPECT_GT(*ParseTimeout("99999999H"), hours(1));  // Does not overflow.
}

TEST(Timeout, RefusesWhatIsMalformed) {
  for (const char* text : {"", "S", "10", "10s", "-1S", "1 S", "999999999S", "1.5S"}) {
    EXPECT_EQ(ParseTimeout(text), std::nullopt) << text;
  }
}

RC_GTEST_PROP(Timeout, FormattedIsNeverLonger, (uint32_t raw, uint8_t shift)) {
  const Duration timeout(1 + (static_cast<int64_t>(raw) << (shift % 20)));
  const auto parsed = ParseTimeout(FormatTimeout(timeout));
  RC_ASSERT(parsed.has_value());
  RC_ASSERT(*parsed <= timeout);
  RC_ASSERT(*parsed > timeout - timeout / 1'000 - nanoseconds(1));
}

RC_GTEST_PROP(GrpcMessage, SurvivesEncoding, (const std::string& text)) {
  const std::string encoded = PercentEncode(text);
  for (const char c : encoded) RC_ASSERT(c >= ' ' && c <= '~');
  RC_ASSERT(PercentDecode(encoded) == text);
}

// HTTP/2 allows none there.
TEST(GrpcMessage, HasNoSpaceAtItsEnds) {
  EXPECT_EQ(PercentEncode(" a b "), "%20a b%20");
  EXPECT_EQ(PercentEncode(" "), "%20");
}

TEST(GrpcMessage, IsCutAsItTravels) {
  EXPECT_EQ(CutToPercentEncoded("a message", 100), "a message");
  EXPECT_EQ(CutToPercentEncoded("a message", 11), "a message");
  EXPECT_EQ(CutToPercentEncoded("a message", 10), "a messag");
  EXPECT_EQ(CutToPercentEncoded("message", 4), "mess");
  EXPECT_EQ(CutToPercentEncoded("\n\n\n", 8), "\n\n");
  EXPECT_EQ(CutToPercentEncoded("m\u00f6kv", 6), "m") << "of two bytes, which are six";
  EXPECT_EQ(CutToPercentEncoded("m\u00f6kv", 7), "m\u00f6");
  EXPECT_EQ(CutToPercentEncoded("\xff\xff", 5), "\xff") << "no character";
  EXPECT_EQ(CutToPercentEncoded("", 0), "");
}

RC_GTEST_PROP(GrpcMessage, IsNeverLongerThanItMayBe, (const std::string& text)) {
  const size_t bytes_max = *rc::gen::inRange<size_t>(0, 50);
  const std::string_view cut = CutToPercentEncoded(text, bytes_max);
  RC_ASSERT(text.starts_with(cut));
  RC_ASSERT(PercentEncode(cut).size() <= bytes_max);
}

TEST(GrpcMessage, KeepsMalformedEscapes) {
  EXPECT_EQ(PercentDecode("100%"), "100%");
  EXPECT_EQ(PercentDecode("%zz%4"), "%zz%4");
}

TEST(StatusCode, IsUnknownUnlessItIsANumberOfOne) {
  EXPECT_EQ(ParseStatusCode("0"), absl::StatusCode::kOk);
  EXPECT_EQ(ParseStatusCode("16"), absl::StatusCode::kUnauthenticated);
  for (const char* text : {"", "17", "-1", "0x", " 0", "OK", "99999999999"}) {
    EXPECT_EQ(ParseStatusCode(text), absl::StatusCode::kUnknown) << text;
  }
}

TEST(StatusCode, FollowsTheHttpStatusOfWhatIsNotGrpc) {
  EXPECT_EQ(CodeOfHttpStatus("400"), absl::StatusCode::kInternal);
  EXPECT_EQ(CodeOfHttpStatus("401"), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(CodeOfHttpStatus("403"), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(CodeOfHttpStatus("404"), absl::StatusCode::kUnimplemented);
  for (const char* later : {"429", "502", "503", "504"}) {
    EXPECT_EQ(CodeOfHttpStatus(later), absl::StatusCode::kUnavailable) << later;
  }
  for (const char* other : {"200", "500", "302", ""}) {
    EXPECT_EQ(CodeOfHttpStatus(other), absl::StatusCode::kUnknown) << other;
  }
}

TEST(MessagePrefix, HoldsFlagAndBigEndianLength) {
  char bytes[kMessagePrefixBytes];
  WriteMessagePrefix(0x01020304, bytes);
  EXPECT_EQ(std::string(bytes, 5), std::string("\0\1\2\3\4", 5));
  const MessagePrefix prefix = ParseMessagePrefix({bytes, sizeof(bytes)});
  EXPECT_FALSE(prefix.compressed);
  EXPECT_EQ(prefix.size_bytes, 0x01020304u);
}

}  // namespace
}  // namespace mokv::rpc
