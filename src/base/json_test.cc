#include "base/json.h"

#include <gtest/gtest.h>

namespace mokv {
namespace {

TEST(JsonString, QuotesAndEscapes) {
  EXPECT_EQ(JsonString(""), R"("")");
  EXPECT_EQ(JsonString("plain"), R"("plain")");
  EXPECT_EQ(JsonString("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(JsonString("line\nnext\ttab"), R"("line\nnext\u0009tab")");
  EXPECT_EQ(JsonString(std::string_view("\0\x1f", 2)), R"("\u0000\u001f")");
}

TEST(JsonString, KeepsUtf8AndReplacesOtherBytes) {
  EXPECT_EQ(JsonString("m\xc3\xb6kv \xf0\x9f\x98\x80"), "\"m\xc3\xb6kv \xf0\x9f\x98\x80\"");
  EXPECT_EQ(JsonString("a\xff"
                       "b"),
            "\"a\xef\xbf\xbd"
            "b\"");
  EXPECT_EQ(JsonString("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

}  // namespace
}  // namespace mokv
