#include "auth/ini.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/status.h"

namespace mokv::auth {
namespace {

using ::testing::StartsWith;

Ini Parsed(std::string_view text) {
  absl::StatusOr<Ini> ini = ParseIni(text, "m.conf");
  EXPECT_TRUE(ini.ok()) << ini.status();
  return ini.ok() ? *ini : Ini();
}

void ExpectRefused(std::string_view text, std::string_view message) {
  const absl::Status status = ParseIni(text, "m.conf").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_THAT(std::string(MessageOf(status)), StartsWith(std::string(message)));
}

TEST(Ini, ReadsSectionsKeysAndValues) {
  const Ini ini = Parsed(" [a] \nx = 1\n y=2 == 3 \n[b]\n[c]\nx = 4");
  ASSERT_EQ(ini.sections.size(), 3U);
  EXPECT_EQ(ini.sections[0].name, "a");
  EXPECT_EQ(ini.sections[1].name, "b");
  EXPECT_EQ(ini.sections[2].line, 5);
  ASSERT_EQ(ini.entries.size(), 3U);
  EXPECT_EQ(ini.entries[1].section, "a");
  EXPECT_EQ(ini.entries[1].key, "y");
  EXPECT_EQ(ini.entries[1].value, "2 == 3");
  EXPECT_EQ(ini.entries[2].section, "c");
  EXPECT_EQ(ini.entries[2].line, 6);
}

TEST(Ini, ReadsWhatEditorsLeave) {
  const Ini ini = Parsed(
      "\xef\xbb\xbf[a]\r\n# one\r\n; two\r\n\r\n\t x = 1 # three\r\n y = 2 ; four\r\nz = 3# five");
  ASSERT_EQ(ini.entries.size(), 3U);
  EXPECT_EQ(ini.entries[0].value, "1");
  EXPECT_EQ(ini.entries[1].value, "2");
  EXPECT_EQ(ini.entries[2].value, "3");
}

TEST(Ini, KnowsCommentsFromQuotedMarks) {
  const Ini ini = Parsed("[a]\nx = r == \"a#b;c\" # note\ny = 'it\\'s # in' ; out");
  EXPECT_EQ(ini.entries[0].value, "r == \"a#b;c\"");
  EXPECT_EQ(ini.entries[1].value, "'it\\'s # in'");
}

TEST(Ini, JoinsLinesAndRemembersThem) {
  const Ini ini = Parsed("[a]\nx = one && \\ # why\n   two \\\r\n three\ny = 1\nz = 2 \\");
  ASSERT_EQ(ini.entries.size(), 3U);
  EXPECT_EQ(ini.entries[0].value, "one && two three");
  EXPECT_EQ(ini.entries[0].LineAt(0), 2);
  EXPECT_EQ(ini.entries[0].LineAt(5), 2);
  EXPECT_EQ(ini.entries[0].LineAt(7), 3);
  EXPECT_EQ(ini.entries[0].LineAt(12), 4);
  EXPECT_EQ(ini.entries[1].line, 5);
  EXPECT_EQ(ini.entries[2].value, "2");
}

TEST(Ini, PassesOverCommentsWithinAValue) {
  const Ini ini =
      Parsed("[a]\nx = one && \\\n# why\n\n \t\n   two \\\n; why\nthree\ny = 1\nz = 2 \\\n# end");
  ASSERT_EQ(ini.entries.size(), 3U);
  EXPECT_EQ(ini.entries[0].value, "one && two three");
  EXPECT_EQ(ini.entries[0].LineAt(6), 2);
  EXPECT_EQ(ini.entries[0].LineAt(7), 6);
  EXPECT_EQ(ini.entries[0].LineAt(11), 8);
  EXPECT_EQ(ini.entries[1].value, "1");
  EXPECT_EQ(ini.entries[2].value, "2");
}

TEST(Ini, RefusesWhatHasNotItsForm) {
  ExpectRefused("x = 1", "m.conf:1: a line before the first section");
  ExpectRefused("[a\nx = 1", "m.conf:1: a section without its closing bracket");
  ExpectRefused("[a]\n[b ]", "m.conf:2: white space within the brackets of a section");
  ExpectRefused("[\ta]", "m.conf:1: white space within the brackets of a section");
  ExpectRefused("[a]\nx", "m.conf:2: expected [section] or key = value");
  ExpectRefused("[a]\n= 1", "m.conf:2: a line without a key");
  ExpectRefused("[a]\nx =", "m.conf:2: [a] \"x\" has no value");
  ExpectRefused("[a]\nx = 1\n\nx = 2", "m.conf:4: [a] x is there twice, first on line 2");
  ExpectRefused("[a]\n[b]\n[a]", "m.conf:3: section [a] is there twice, first on line 1");
  ExpectRefused("[a]\n\nx = \"caf\xe9\"", "m.conf:3: bytes that are no UTF-8");
  ExpectRefused("[a]\nx = r == \"a\\\n b\"",
                "m.conf:2: a text in quotes that goes on in the next line");
  ExpectRefused("[a]\nx = r && \\\n r == 'a \\\nb'", "m.conf:3: a text in quotes that goes on");
  ExpectRefused("[a]\r\n# x = 1\rx = 2", "m.conf:2: a carriage return without a line feed");
}

// Each is compared with those before it.
TEST(Ini, BoundsSectionsAndEntries) {
  std::string sections;
  std::string entries = "[a]\n";
  for (int i = 0; i < 2'000; ++i) {
    sections += fmt::format("[s{}]\n", i);
    entries += fmt::format("k{} = 1\n", i);
  }
  EXPECT_EQ(Parsed(sections).sections.size(), 2'000U);
  EXPECT_EQ(Parsed(entries).entries.size(), 2'000U);
  ExpectRefused(sections + "[t]", "m.conf:2001: more than 2000 sections");
  ExpectRefused(entries + "l = 1", "m.conf:2002: more than 2000 lines of the form key = value");
}

}  // namespace
}  // namespace mokv::auth
