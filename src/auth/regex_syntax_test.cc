#include "auth/regex_syntax.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <re2/re2.h>

#include <cstdint>
#include <optional>
#include <string>

namespace mokv::auth {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

RegexSyntax Read(std::string_view regex) {
  std::string reason;
  const std::optional<RegexSyntax> syntax = ReadRegex(regex, reason);
  EXPECT_TRUE(syntax.has_value()) << regex << ": " << reason;
  return syntax.value_or(RegexSyntax());
}

bool Matches(const std::string& text, std::string_view regex) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  const re2::RE2 compiled(Read(regex).re2, options);
  EXPECT_TRUE(compiled.ok()) << regex << ": " << compiled.error();
  return re2::RE2::PartialMatch(text, compiled);
}

std::string Utf8(uint32_t code) {
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) {
    return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
  }
  return {static_cast<char>(0xe0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3f)),
          static_cast<char>(0x80 | (code & 0x3f))};
}

void ExpectRefused(std::string_view regex, const std::string& begin, const std::string& part) {
  std::string reason;
  EXPECT_FALSE(ReadRegex(regex, reason).has_value()) << regex;
  EXPECT_THAT(reason, StartsWith("at byte " + begin + ": ")) << regex;
  EXPECT_THAT(reason, HasSubstr(part)) << regex;
}

void ExpectNeedle(std::string_view regex, std::string_view needle, bool at_begin) {
  const RegexSyntax syntax = Read(regex);
  EXPECT_EQ(syntax.needle, needle) << regex;
  EXPECT_EQ(syntax.needle_at_begin, at_begin) << regex;
}

TEST(RegexSyntax, ADotIsNoEndOfALine) {
  for (const char* const end : {"\n", "\r", "\xe2\x80\xa8", "\xe2\x80\xa9"}) {
    EXPECT_FALSE(Matches(end, ".")) << end;
    EXPECT_FALSE(Matches(std::string("a") + end, "^a.*$")) << end;
    EXPECT_TRUE(Matches(end, "^[^a]$")) << end;
  }
  for (const char* const other : {"a", " ", "\v", "\xc2\x85", "\xe2\x80\xa7", "\xe2\x82\xac"}) {
    EXPECT_TRUE(Matches(other, "^.$")) << other;
  }
  EXPECT_TRUE(Matches(".", "^[.]$"));
  EXPECT_FALSE(Matches("a", "[.]"));
}

// The list is JavaScript's: WhiteSpace and LineTerminator.
TEST(RegexSyntax, SpaceIsWhatItIsInUnicode) {
  const auto is_space = [](uint32_t code) {
    return (code >= 9 && code <= 13) || code == 0x20 || code == 0xa0 || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 ||
           code == 0x202f || code == 0x205f || code == 0x3000 || code == 0xfeff;
  };
  struct Case {
    const char* regex;
    bool of_spaces;
  };
  for (const Case& each : {Case{"^\\s$", true},
                           {"^[\\s]$", true},
                           {"^[^\\S]$", true},
                           {"^\\S$", false},
                           {"^[\\S]$", false},
                           {"^[^\\s]$", false}}) {
    const re2::RE2 regex(Read(each.regex).re2);
    for (uint32_t code = 0; code < 0x10000; ++code) {
      if (code >= 0xd800 && code < 0xe000) continue;  // Halves of a pair are no characters.
      ASSERT_EQ(re2::RE2::PartialMatch(Utf8(code), regex), is_space(code) == each.of_spaces)
          << each.regex << ", U+" << std::hex << code;
    }
  }
  EXPECT_TRUE(Matches("\xf0\x9f\x98\x80", "^\\S$"));
}

TEST(RegexSyntax, CharactersStandForThemselves) {
  for (const char* const text :
       {"a{", "a{x}", "a{,5}", "a{1", "a{1,x}", "{}", "]", "}", "a-b", "x=y"}) {
    EXPECT_TRUE(Matches(text, "^" + std::string(text) + "$")) << text;
  }
  EXPECT_TRUE(Matches("a.b", R"(^a\.b$)"));
  EXPECT_FALSE(Matches("axb", R"(^a\.b$)"));
  EXPECT_TRUE(Matches(R"(\^$.|?*+()[]{}-/_ )", R"(^\\\^\$\.\|\?\*\+\(\)\[\]\{\}\-\/\_\ $)"));
  EXPECT_TRUE(Matches("\t\n\r\f\v", R"(^\t\n\r\f\v$)"));
  EXPECT_TRUE(Matches("A\xc3\xa9", R"(^\x41\xe9$)"));
  EXPECT_TRUE(Matches("*", R"(^\x2a$)"));
  EXPECT_TRUE(Matches("[]^-\\", R"(^[\[\]\^\-\\]{5}$)"));
  EXPECT_TRUE(Matches("[", "^[[]$"));
  EXPECT_TRUE(Matches("-", "^[a-]$"));
  EXPECT_TRUE(Matches("-", "^[-a]$"));
  EXPECT_TRUE(Matches("-e", "^[a-c-e]{2}$"));
  EXPECT_FALSE(Matches("d", "[a-c-e]"));
  EXPECT_TRUE(Matches("\xc3\xa9", "^[\xc3\xa0-\xc3\xbf]$"));
  EXPECT_TRUE(Matches("\t", R"(^[\x09-\x0d]$)"));
  EXPECT_TRUE(Matches("a_9", R"(^[\w][\D]\d$)"));
}

TEST(RegexSyntax, OperatorsStayWhatTheyAre) {
  EXPECT_TRUE(Matches("xb", "^a|b"));
  EXPECT_TRUE(Matches("abab", "^(ab)+$"));
  EXPECT_TRUE(Matches("abab", "^(?:ab){2,}$"));
  EXPECT_FALSE(Matches("ab", "^(?:ab){2,3}$"));
  EXPECT_TRUE(Matches("aaa", "^a+?a*?a??a{1}?$"));
  EXPECT_TRUE(Matches("a b", R"(a\b.\bb)"));
  EXPECT_TRUE(Matches("", ""));
  EXPECT_TRUE(Matches("x", "(|a)()"));
  EXPECT_TRUE(Matches("x", "x{0,1000}"));
  EXPECT_TRUE(Matches("xxx", "^x{3,}$"));
}

TEST(RegexSyntax, RefusesWhatJavaScriptDoes) {
  ExpectRefused("^*bar$", "2", "nothing stands before '*' that it could repeat; any text is '.*'");
  ExpectRefused("^?a", "2", "nothing stands before '?'");
  ExpectRefused("a$+", "3", "nothing stands before '+'");
  ExpectRefused("\\b*", "3", "nothing stands before '*'");
  ExpectRefused("*a", "1", "nothing stands before '*'");
  ExpectRefused("(+a)", "2", "nothing stands before '+'");
  ExpectRefused("(?:*a)", "4", "nothing stands before '*'");
  ExpectRefused("a|?", "3", "nothing stands before '?'");
  ExpectRefused("/.**", "4", "nothing stands before '*'");
  ExpectRefused("a{2}{3}", "5", "nothing stands before '{3}'");
  ExpectRefused("^{2}", "2", "the character itself '\\{2}'");
  ExpectRefused("a{3,2}", "2", "'{3,2}' counts down");
  ExpectRefused("a{1001}", "2", "more than 1000 times");
  ExpectRefused("a{99999999999999999999}", "2", "more than 1000 times");
  ExpectRefused("a{2,99999999999999999999}", "2", "more than 1000 times");
  ExpectRefused("(a", "3", "'(' without its ')'");
  ExpectRefused("a)", "2", "')' without its '('");
  ExpectRefused("a[b", "2", "'[' without its ']'");
  ExpectRefused("a[b-", "2", "'[' without its ']'");
  ExpectRefused("[z-a]", "2", "\"z-a\" begins behind its end");
  ExpectRefused("a\\", "2", "behind a backslash");
}

TEST(RegexSyntax, RefusesWhatIsReadInTwoWays) {
  for (const char* const group : {"(?i)a", "(?=a)", "(?!a)", "(?<=a)", "(?<n>a)", "(?P<n>a)"}) {
    ExpectRefused(group, "1", "'(?' of another kind than '(?:'");
  }
  for (const char* const escape :
       {"\\A",    "\\z",     "\\Z",  "\\Q",     "\\E",   "\\C",       "\\pL",
        "\\p{L}", "\\a",     "\\B",  "\\1",     "\\0",   "\\012",     "\\cA",
        "\\k",    "\\u0041", "\\x4", "\\x{41}", "\\xg1", "\\\xc3\xa9"}) {
    ExpectRefused(escape, "1", "behind a backslash");
    ExpectRefused("[" + std::string(escape) + "]", "2", "behind a backslash");
  }
  ExpectRefused("[\\b]", "2", "\"\\\\b\" is not what is supported behind a backslash");
  ExpectRefused("[[:alpha:]]", "2", "classes by name");
  ExpectRefused("[^a[:alpha:]]", "4", "classes by name");
  ExpectRefused("[]a]", "1", "'[]' is a class of no characters");
  ExpectRefused("a[^]", "2", "'[^]' is a class of no characters");
  ExpectRefused("[\\d-x]", "2", "ends in what is many characters");
  ExpectRefused("[a-\\s]", "2", "ends in what is many characters");
  ExpectRefused("[\xf0\x9f\x98\x80]", "2", "beyond U+FFFF");
  ExpectRefused("[a-\xf0\x9f\x98\x80]", "4", "beyond U+FFFF");
  ExpectRefused("\xf0\x9f\x98\x80+", "5", "beyond U+FFFF");
  ExpectRefused("a\xff", "1", "not UTF-8");
  EXPECT_TRUE(Matches("\xf0\x9f\x98\x80", "^(?:\xf0\x9f\x98\x80)+$"));
}

TEST(RegexSyntax, KnowsTheTextThatIsInEveryMatch) {
  ExpectNeedle("^/data/7/[a-z]+$", "/data/7/", true);
  ExpectNeedle("^/v1\\.0/.*$", "/v1.0/", true);
  ExpectNeedle("/v1/.*/items", "/items", false);
  ExpectNeedle("^ab*cde", "cde", false);
  ExpectNeedle("^abc*d", "ab", true);
  ExpectNeedle("^abc+de", "abc", true);
  ExpectNeedle("ab{0,2}", "a", false);
  ExpectNeedle("ab{2}", "ab", false);
  ExpectNeedle("\xc3\xa9?x", "x", false);
  ExpectNeedle("^a?bc", "bc", false);
  ExpectNeedle("(abc)d", "d", false);
  ExpectNeedle("(ab|c)*de(f)", "de", false);
  ExpectNeedle("^a{b}c", "a{b}c", true);
  ExpectNeedle("a|b", "", false);
  ExpectNeedle("/t/{x|y}/abcd", "", false);
  ExpectNeedle("(a|b)c", "c", false);
  ExpectNeedle("a[bcd]e", "a", false);
  ExpectNeedle("a^bc", "bc", false);
  ExpectNeedle("[^a]*", "", false);
}

}  // namespace
}  // namespace mokv::auth
