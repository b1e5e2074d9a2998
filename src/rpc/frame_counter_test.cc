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

}  // namespace
}  // namespace mokv::rpc
