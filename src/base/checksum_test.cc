#include "base/checksum.h"

#include <gtest/gtest.h>

#include <string>

namespace mokv {
namespace {

// Disk formats depend on these: a change of the function would make every log unreadable.
TEST(Checksum64, IsXxh3AsPublished) {
  EXPECT_EQ(Checksum64(""), 0x2d06800538d394c2u);
  EXPECT_EQ(Checksum64("abc"), 0x78af5f94892f3950u);
}

TEST(Checksum64, ChangesWithEachByteAndWithTheSeed) {
  const std::string bytes(300, 'x');
  const uint64_t sum = Checksum64(bytes, 7);
  EXPECT_EQ(Checksum64(bytes, 7), sum);
  EXPECT_NE(Checksum64(bytes, 8), sum);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    EXPECT_NE(Checksum64(flipped, 7), sum) << "byte " << i;
  }
}

}  // namespace
}  // namespace mokv
