#include "rpc/flood_watch.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <string>
#include <string_view>

#include "rpc/testing/raw_http2.h"

namespace mokv::rpc {
namespace {

using std::chrono::seconds;

constexpr size_t kLimit = 1'000;
constexpr MonotonicTime At(int64_t s) { return MonotonicTime{seconds(s)}; }

class FloodWatchTest : public testing::Test {
 protected:
  // A header of 100 bytes as RFC 9113, 6.5.2 counts, `times` times in a block.
  bool Block(int times, MonotonicTime now) {
    watch_.OnHeaders(now);
    for (int i = 0; i < times; ++i) {
      if (!watch_.OnHeader(68, now)) return false;
    }
    return true;
  }

  FloodWatch watch_{kLimit, At(0)};
};

TEST_F(FloodWatchTest, BlocksWithinTheLimitAreNoFlood) {
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(Block(10, At(0)));
  EXPECT_EQ(watch_.flood(), "");
}

TEST_F(FloodWatchTest, BlocksOverTheLimitAreForgivenSomeTimes) {
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Block(11, At(0))) << i;
  EXPECT_TRUE(Block(11, At(1))) << "one a second from then on";
  EXPECT_FALSE(Block(11, At(1)));
  EXPECT_EQ(watch_.flood(), "headers over the limit");
}

// However long a block is, it counts once, unless it is far over the limit.
TEST_F(FloodWatchTest, ABlockFarOverTheLimitIsAFloodAtOnce) {
  EXPECT_TRUE(Block(80, At(0)));
  EXPECT_FALSE(Block(81, At(0)));
  EXPECT_EQ(watch_.flood(), "headers far over the limit");
}

// Goal: what each kind may cost, as the table has it.
struct Kind {
  std::string_view what;
  int burst;
  uint8_t type;
  uint8_t flags = 0;
};
constexpr Kind kKinds[] = {
    {"SETTINGS", 100, NGHTTP2_SETTINGS},
    {"answers to PINGs that nobody sent", 100, NGHTTP2_PING, NGHTTP2_FLAG_ACK},
    {"PRIORITY", 1'000, NGHTTP2_PRIORITY},
    {"calls that are begun and reset", 6'000, NGHTTP2_RST_STREAM},
    {"WINDOW_UPDATE", 20'000, NGHTTP2_WINDOW_UPDATE},
    {"GOAWAY", 10, NGHTTP2_GOAWAY},
    {"DATA frames of a few bytes", 10'000, NGHTTP2_DATA},
    {"DATA frames of a few bytes", 10'000, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED},
};

TEST(FloodWatch, FramesThatSayNothingAreAFloodInGreatNumbers) {
  for (const Kind& kind : kKinds) {
    FloodWatch watch(kLimit, At(0));
    for (int i = 0; i < kind.burst; ++i) {
      ASSERT_TRUE(watch.OnFrame(kind.type, kind.flags, 8, At(0))) << kind.what << i;
    }
    EXPECT_FALSE(watch.OnFrame(kind.type, kind.flags, 8, At(0)));
    EXPECT_EQ(watch.flood(), kind.what);
  }
}

TEST_F(FloodWatchTest, FramesThatHaveAReasonAreNoFlood) {
  for (int i = 0; i < 100'000; ++i) {
    ASSERT_TRUE(watch_.OnFrame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 30, At(0)));
    ASSERT_TRUE(watch_.OnFrame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 5, At(0)));
    ASSERT_TRUE(watch_.OnFrame(NGHTTP2_DATA, 0, 64, At(0)));
    ASSERT_TRUE(watch_.OnFrame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, At(0)));
  }
}

// Goal: a stream of small messages is no flood, however they share frames; pieces of them are one.
TEST_F(FloodWatchTest, SmallDataThatAreWholeMessagesAreNoFlood) {
  const std::string message = Message("x");
  for (int i = 0; i < 100'000; ++i) {
    for (const std::string& data : {message, message + message + Message("")}) {
      ASSERT_TRUE(watch_.OnFrame(NGHTTP2_DATA, 0, data.size(), At(0)));
      watch_.OnMessages(data == message ? 1 : 3);
      ASSERT_TRUE(watch_.OnDataEnd(data.size(), false, At(0)));
    }
  }
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_TRUE(watch_.OnFrame(NGHTTP2_DATA, 0, 3, At(0)));
    watch_.OnMessages(0);
    ASSERT_TRUE(watch_.OnDataEnd(3, false, At(0)));
  }
  EXPECT_FALSE(watch_.OnFrame(NGHTTP2_DATA, 0, 3, At(0)));
}

TEST_F(FloodWatchTest, APrefixOfItsOwnBeforeManyBytesIsNoFlood) {
  for (int i = 0; i < 100'000; ++i) {
    ASSERT_TRUE(watch_.OnFrame(NGHTTP2_DATA, 0, 5, At(0)));
    ASSERT_TRUE(watch_.OnDataEnd(5, false, At(0)));
    ASSERT_TRUE(watch_.OnFrame(NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 10'001, At(0)));
    ASSERT_TRUE(watch_.OnDataEnd(10'000, true, At(0)));
  }
}

TEST_F(FloodWatchTest, WindowsThatGrowForAnswersAreNoFlood) {
  for (int i = 0; i < 100'000; ++i) {
    for (int update = 0; update < 4; ++update) {
      ASSERT_TRUE(watch_.OnFrame(NGHTTP2_WINDOW_UPDATE, 0, 4, At(0)));
    }
    watch_.OnAnswer();
  }
}

TEST_F(FloodWatchTest, FramesThatAreIgnoredAreAFlood) {
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(watch_.OnIgnored(200, {.frames = 100, .bytes = 500}, At(0)));
    ASSERT_TRUE(watch_.OnIgnored(0, {}, At(0)));
  }
  EXPECT_TRUE(watch_.OnIgnored(2'000, {}, At(1)));
  EXPECT_FALSE(watch_.OnIgnored(1, {.frames = 1, .bytes = 1}, At(1)));
  EXPECT_EQ(watch_.flood(), "frames that say nothing");
}

// Goal: what a client may have sent before it knew that its call has an answer is no flood.
TEST_F(FloodWatchTest, DataOfCallsThatEndedEarlyIsNoFloodWithinTheirWindows) {
  watch_.OnEndedEarly(100'000);
  EXPECT_TRUE(watch_.OnIgnored(100'000, {.frames = 100'000, .bytes = 100'000}, At(0)));
  EXPECT_TRUE(watch_.OnIgnored(20'000, {.frames = 20'000, .bytes = 20'000}, At(0)));
  EXPECT_FALSE(watch_.OnIgnored(1, {.frames = 1, .bytes = 1}, At(0)));
}

TEST_F(FloodWatchTest, EmptyDataIsAFloodInGreatNumbers) {
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(watch_.OnDataEnd(0, false, At(0)));
  EXPECT_FALSE(watch_.OnDataEnd(0, true, At(0)));
  EXPECT_EQ(watch_.flood(), "DATA frames without data");
}

TEST_F(FloodWatchTest, ErrorsOfTheClientAreAFloodAndCallsOverTheLimit) {
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(
        watch_.OnResetSent(i % 2 == 0 ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_STREAM_CLOSED, At(0)));
    ASSERT_TRUE(watch_.OnResetSent(NGHTTP2_CANCEL, At(0)));
    ASSERT_TRUE(watch_.OnResetSent(NGHTTP2_NO_ERROR, At(0)));
  }
  EXPECT_FALSE(watch_.OnResetSent(NGHTTP2_FLOW_CONTROL_ERROR, At(0)));
  EXPECT_EQ(watch_.flood(), "streams in error");
  FloodWatch other(kLimit, At(0));
  for (int i = 0; i < 4'000; ++i) ASSERT_TRUE(other.OnResetSent(NGHTTP2_REFUSED_STREAM, At(0)));
  EXPECT_FALSE(other.OnResetSent(NGHTTP2_REFUSED_STREAM, At(0)));
  EXPECT_EQ(other.flood(), "calls over the limit");
}

TEST_F(FloodWatchTest, KnowsSinceWhenABlockIsOpen) {
  EXPECT_FALSE(watch_.IsWithinHeadersSince(At(100)));
  watch_.OnHeaders(At(100));
  EXPECT_FALSE(watch_.IsWithinHeadersSince(At(99)));
  EXPECT_TRUE(watch_.IsWithinHeadersSince(At(100)));
  watch_.OnFrame(NGHTTP2_CONTINUATION, 0, 1, At(101));
  EXPECT_TRUE(watch_.IsWithinHeadersSince(At(100)));
  watch_.OnHeadersEnd();
  EXPECT_FALSE(watch_.IsWithinHeadersSince(At(100)));
  watch_.OnHeaders(At(100));
  watch_.OnFrame(NGHTTP2_PING, 0, 8, At(101));
  EXPECT_FALSE(watch_.IsWithinHeadersSince(At(100))) << "it was in error";
}

}  // namespace
}  // namespace mokv::rpc
