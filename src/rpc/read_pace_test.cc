#include "rpc/read_pace.h"

#include <gtest/gtest.h>

namespace mokv::rpc {
namespace {

TEST(ReadPaceTest, BeginsCarefully) { EXPECT_EQ(ReadPace().bytes(), ReadPace::kFirstBytes); }

TEST(ReadPaceTest, DoublesForBytesThatCostLittle) {
  ReadPace pace;
  for (size_t bytes = 2 * ReadPace::kFirstBytes; bytes <= ReadPace::kBytesMax; bytes *= 2) {
    pace.OnRead(pace.bytes(), 1);
    EXPECT_EQ(pace.bytes(), bytes);
  }
  pace.OnRead(pace.bytes(), 0);
  EXPECT_EQ(pace.bytes(), ReadPace::kBytesMax);
}

TEST(ReadPaceTest, ReadsAsManyFramesAsATurnMayHave) {
  ReadPace pace;
  // Frames of 100 bytes.
  for (int turn = 0; turn < 3; ++turn) pace.OnRead(pace.bytes(), pace.bytes() / 100);
  EXPECT_GE(pace.bytes(), 100 * ReadPace::kFramesPerTurnMax);
  EXPECT_LE(pace.bytes(), 105 * ReadPace::kFramesPerTurnMax);
}

TEST(ReadPaceTest, NeverReadsNextToNothing) {
  ReadPace pace;
  pace.OnRead(ReadPace::kFirstBytes, ReadPace::kFirstBytes / 9);  // Nothing but heads.
  EXPECT_EQ(pace.bytes(), ReadPace::kBytesMin);
  pace.OnRead(1, 1'000'000);
  EXPECT_EQ(pace.bytes(), ReadPace::kBytesMin);
}

TEST(ReadPaceTest, RecoversFromAFlood) {
  ReadPace pace;
  pace.OnRead(pace.bytes(), pace.bytes());
  for (int turn = 0; turn < 5; ++turn) pace.OnRead(pace.bytes(), 1);
  EXPECT_EQ(pace.bytes(), ReadPace::kBytesMax);
}

}  // namespace
}  // namespace mokv::rpc
