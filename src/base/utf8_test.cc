#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace mokv {
namespace {

TEST(Utf8, AcceptsEveryCodePointAtItsShortest) {
  for (uint32_t c = 1; c <= 0x10ffff; ++c) {
    std::string text;
    const auto add = [&](uint32_t byte) { text += static_cast<char>(byte); };
    if (c < 0x80) {
      add(c);
    } else if (c < 0x800) {
      add(0xc0 | (c >> 6));
      add(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
      add(0xe0 | (c >> 12));
      add(0x80 | ((c >> 6) & 0x3f));
      add(0x80 | (c & 0x3f));
    } else {
      add(0xf0 | (c >> 18));
      add(0x80 | ((c >> 12) & 0x3f));
      add(0x80 | ((c >> 6) & 0x3f));
      add(0x80 | (c & 0x3f));
    }
    const bool surrogate = c >= 0xd800 && c <= 0xdfff;
    ASSERT_EQ(IsUtf8(text), !surrogate) << c;
    ASSERT_EQ(Utf8SequenceLength(text), surrogate ? 0 : text.size()) << c;
    // Cut short it is not well-formed.
    if (text.size() > 1) {
      ASSERT_FALSE(IsUtf8(text.substr(0, text.size() - 1))) << c;
    }
  }
}

TEST(Utf8, RefusesOverlongFormsAndStrayBytes) {
  for (const char* bad : {"\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\x80", "\xff", "\xc3("}) {
    EXPECT_FALSE(IsUtf8(bad));
    EXPECT_EQ(Utf8SequenceLength(bad), 0u);
  }
}

TEST(Utf8, FindsABadByteAtAnyPlaceInLongText) {
  EXPECT_TRUE(IsUtf8(""));
  for (size_t length = 1; length < 40; ++length) {
    for (size_t at = 0; at < length; ++at) {
      std::string text(length, 'a');
      EXPECT_TRUE(IsUtf8(text));
      text[at] = '\x80';
      EXPECT_FALSE(IsUtf8(text)) << length << " " << at;
    }
  }
}

// Goal: bytes that are cut off in the middle of a sequence are shown, and nothing behind them.
TEST(Utf8, QuotesAnyBytes) {
  EXPECT_EQ(Quoted("key \"a\""), R"("key \"a\"")");
  EXPECT_EQ(Quoted("\xeb\x8d"), R"("\xeb\x8d")");
  EXPECT_EQ(Quoted(""), R"("")");
}

}  // namespace
}  // namespace mokv
