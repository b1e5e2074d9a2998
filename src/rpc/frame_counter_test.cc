#include "rpc/frame_counter.h"

#include <gtest/gtest.h>

#include <string>

#include "rpc/testing/raw_http2.h"

namespace mokv::rpc {
namespace {

std::string Frames() {
  return std::string(kPreface) + Frame(4, 0, 0, "") + Frame(0xbb, 0, 1, "text") +
         Frame(0, 0, 1, std::string(70'000, 'x')) + Frame(6, 0, 0, "question");
}

TEST(FrameCounter, CountsFramesOfAnyKind) {
  FrameCounter counter;
  EXPECT_EQ(counter.Count(Frames()).all, 4u);
  EXPECT_EQ(counter.Count(Frame(6, 0, 0, "question")).all, 1u);
}

TEST(FrameCounter, HoweverTheBytesCome) {
  const std::string frames = Frames();
  for (const size_t size : {1u, 2u, 3u, 5u, 8u, 9u, 10u, 25u, 1'000u}) {
    FrameCounter counter;
    size_t count = 0;
    for (size_t i = 0; i < frames.size(); i += size)
      count += counter.Count(frames.substr(i, size)).all;
    EXPECT_EQ(count, 4u) << size;
  }
}

TEST(FrameCounter, AFrameCountsOnceItsHeadIsThere) {
  FrameCounter counter;
  const std::string frame = Frame(6, 0, 0, "question");
  EXPECT_EQ(counter.Count(kPreface).all, 0u);
  EXPECT_EQ(counter.Count(frame.substr(0, 8)).all, 0u);
  EXPECT_EQ(counter.Count(frame.substr(8, 1)).all, 1u);
  EXPECT_EQ(counter.Count(frame.substr(9)).all, 0u);
}

// Goal: a PRIORITY that makes a stream wait for itself, or is of none, is found, wherever it is cut.
TEST(FrameCounter, FindsBadPriorities) {
  constexpr uint8_t kPriority = 2;
  const auto found = [](uint32_t stream, const std::string& payload, size_t cut) {
    FrameCounter counter;
    counter.Count(kPreface);
    const std::string frame = Frame(kPriority, 0, stream, payload);
    const auto begin = counter.Count(std::string_view(frame).substr(0, cut));
    const auto end = counter.Count(std::string_view(frame).substr(cut));
    EXPECT_EQ(begin.all + end.all, 1u);
    EXPECT_EQ(counter.Count(Frame(6, 0, 0, "question")).all, 1u) << "what follows is found";
    return begin.bad_priority || end.bad_priority;
  };
  for (size_t cut = 0; cut <= 14; ++cut) {
    EXPECT_TRUE(found(7, Number(7) + '\x10', cut)) << cut;
    EXPECT_TRUE(found(7, Number(0x80000007) + '\x10', cut)) << "exclusive, " << cut;
    EXPECT_TRUE(found(0, Number(7) + '\x10', cut)) << "of no stream, " << cut;
    EXPECT_FALSE(found(7, Number(5) + '\x10', cut)) << cut;
  }
  EXPECT_FALSE(found(7, Number(7), 9)) << "no PRIORITY has four bytes";
  EXPECT_FALSE(found(7, Number(7) + "\x10 ", 9)) << "none has six";
}

// Goal: what RFC 9113, 5.1 forbids is found, and what it allows is not taken for it.
TEST(FrameCounter, FindsWhatComesBehindTheEndOfAStream) {
  constexpr uint8_t kData = 0, kHeaders = 1, kPriority = 2, kReset = 3, kWindowUpdate = 8;
  constexpr uint8_t kEndStream = 1, kEndHeaders = 4;
  const auto found = [](const std::string& end, const std::string& more) {
    FrameCounter apart;
    EXPECT_FALSE(apart.Count(kPreface).behind_the_end);
    EXPECT_FALSE(apart.Count(end).behind_the_end);
    const bool is_found = apart.Count(more).behind_the_end;
    EXPECT_FALSE(apart.Count(Frame(kData, 0, 3, "another")).behind_the_end);
    FrameCounter together;
    EXPECT_EQ(together.Count(std::string(kPreface) + end + more).behind_the_end, is_found);
    return is_found;
  };
  for (const std::string& end :
       {Frame(kData, kEndStream, 1, ""), Frame(kHeaders, kEndStream | kEndHeaders, 1, "block"),
        Frame(kReset, 0, 1, Number(8))}) {
    EXPECT_TRUE(found(end, Frame(kData, 0, 1, "more")));
    EXPECT_TRUE(found(end, Frame(kHeaders, kEndHeaders, 1, "block")));
    EXPECT_FALSE(found(end, Frame(kReset, 0, 1, Number(8))));
    EXPECT_FALSE(found(end, Frame(kWindowUpdate, 0, 1, Number(8))));
    EXPECT_FALSE(found(end, Frame(kPriority, kEndStream, 1, "12345")));
  }
  EXPECT_FALSE(found(Frame(kHeaders, kEndHeaders, 1, "block"), Frame(kData, kEndStream, 1, "")));
  EXPECT_FALSE(found(Frame(kWindowUpdate, kEndStream, 1, Number(8)), Frame(kData, 0, 1, "")));
}

}  // namespace
}  // namespace mokv::rpc
