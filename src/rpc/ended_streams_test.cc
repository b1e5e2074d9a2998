#include "rpc/ended_streams.h"

#include <gtest/gtest.h>

namespace mokv::rpc {
namespace {

TEST(EndedStreams, RemembersTheNewest) {
  constexpr auto kRemembered = static_cast<int32_t>(EndedStreams::kRememberedMax);
  EndedStreams ended;
  EXPECT_FALSE(ended.Has(1));
  for (int32_t i = 0; i < 3 * kRemembered; ++i) ended.Add(2 * i + 1);
  for (int32_t i = 0; i < 4 * kRemembered; ++i) {
    EXPECT_EQ(ended.Has(2 * i + 1), i >= 2 * kRemembered && i < 3 * kRemembered) << i;
  }
}

TEST(EndedStreams, StreamsInBetweenMayBeOpen) {
  EndedStreams ended;
  ended.Add(5);
  EXPECT_FALSE(ended.Has(3));
  EXPECT_TRUE(ended.Has(5));
  EXPECT_FALSE(ended.Has(7));
}

}  // namespace
}  // namespace mokv::rpc
