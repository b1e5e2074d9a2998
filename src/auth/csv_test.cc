#include "auth/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/status.h"

namespace mokv::auth {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

std::vector<CsvLine> Parsed(std::string_view text) {
  const absl::StatusOr<std::vector<CsvLine>> lines = ParseCsv(text, "p.csv");
  EXPECT_TRUE(lines.ok()) << lines.status();
  return lines.ok() ? *lines : std::vector<CsvLine>();
}

void ExpectRefused(std::string_view text, std::string_view message) {
  const absl::Status status = ParseCsv(text, "p.csv").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_THAT(std::string(MessageOf(status)), StartsWith(std::string(message)));
}

TEST(Csv, ReadsFieldsCommentsAndEmptyLines) {
  EXPECT_TRUE(Parsed("").empty());
  EXPECT_THAT(Parsed("\xef\xbb\xbf# comment\n\n  p, root, *  \r\np,a\n\t# more\np ,\tx , y z"),
              ElementsAre(CsvLine{3, {"p", "root", "*"}}, CsvLine{4, {"p", "a"}},
                          CsvLine{6, {"p", "x", "y z"}}));
  EXPECT_THAT(Parsed(",, a,"), ElementsAre(CsvLine{1, {"", "", "a", ""}}));
}

TEST(Csv, ReadsQuotedFields) {
  EXPECT_THAT(Parsed("p, \"a, b\" , \"in between\", \"say \"\"hi\"\"\"\n\"p\",x,\"#\",\"(\""),
              ElementsAre(CsvLine{1, {"p", "a, b", "in between", "say \"hi\""}},
                          CsvLine{2, {"p", "x", "#", "("}}));
}

// White space around such a comma goes, as in node-casbin, which splits first and joins again.
TEST(Csv, KeepsCommasWithinBrackets) {
  EXPECT_THAT(Parsed("p, r.sub in ('a' ,\t'b, c') && f(x, (y), z), c\np, f(,), \"f(a, b)\""),
              ElementsAre(CsvLine{1, {"p", "r.sub in ('a','b,c') && f(x,(y),z)", "c"}},
                          CsvLine{2, {"p", "f(,)", "f(a, b)"}}));
}

TEST(Csv, NamesTheLineOfWhatItRefuses) {
  ExpectRefused("\np, b\"c, d", "p.csv:2: a quote within a field");
  ExpectRefused("p, a, \"b, c\nd\"", "p.csv:1: a quoted field that does not end");
  ExpectRefused("p, a, \"b\" c, d", "p.csv:1: text after the end of a quoted field");
  ExpectRefused("p, f(a, b", "p.csv:1: round brackets that do not match");
  ExpectRefused(
      "p, f(a, \"b\"), c",
      "p.csv:1: a quote within a field that does not begin with one; write the field in double "
      "quotes, and each quote in it twice, or quote the texts in a rule for eval() with single "
      "quotes");
  ExpectRefused("p, a), b(", "p.csv:1: round brackets that do not match");
}

TEST(Csv, RefusesWhatDiffersFromWhatItShows) {
  // A blank that does not break, a byte order mark, a space of U+2003, a vertical tab, U+0085, U+2028.
  for (const std::string_view space :
       {"\xc2\xa0", "\xef\xbb\xbf", "\xe2\x80\x83", "\v", "\xc2\x85", "\xe2\x80\xa8"}) {
    const std::string before = "p, a\np, " + std::string(space) + "b, c";
    const std::string after = "p, a\np, f(b" + std::string(space) + ", c), d";
    const bool control = space == "\v" || space == "\xc2\x85";
    ExpectRefused(before, "p.csv:2: the field \"");
    ExpectRefused(after, "p.csv:2: the field \"f(b");
    const std::string within = "p, b" + std::string(space) + "c";
    if (control) {
      ExpectRefused(within, "p.csv:1: the field \"b");
    } else {
      EXPECT_THAT(Parsed(within), ElementsAre(CsvLine{1, {"p", "b" + std::string(space) + "c"}}));
    }
    const std::string quoted = "b" + std::string(space) + "b";
    EXPECT_THAT(Parsed("p, \"" + quoted + "\""), ElementsAre(CsvLine{1, {"p", quoted}}));
  }
  EXPECT_THAT(Parsed("p, b\tc"), ElementsAre(CsvLine{1, {"p", "b\tc"}}));
}

// Casbin takes it off there, too: a rule that denies would be one for somebody else.
TEST(Csv, RefusesWhiteSpaceAtTheEndsOfQuotedFields) {
  for (const std::string_view space :
       {" ", "\t", "\xc2\xa0", "\xef\xbb\xbf", "\xe2\x80\x83", "\v", "\xe2\x80\xa8"}) {
    for (const std::string& field :
         {std::string(space) + "ann", "ann" + std::string(space), std::string(space)}) {
      ExpectRefused("p, a\np, \"" + field + "\", x", "p.csv:2: the field \"");
    }
  }
  EXPECT_THAT(Parsed("p, \"\", \"\"\" \"\"\""), ElementsAre(CsvLine{1, {"p", "", "\" \""}}));
}

TEST(Csv, RefusesWhatIsNotUtf8) {
  // Latin-1, an overlong slash, half of a pair of UTF-16.
  for (const std::string_view bytes : {"\xe9", "\xc0\xaf", "\xed\xa0\x80"}) {
    ExpectRefused("p, a, b\r\n# ok: \xc3\xa9\r\np, caf" + std::string(bytes) + ", c",
                  "p.csv:3: bytes that are no UTF-8, from \"\\x");
  }
}

// Some editors end a line there: whoever reads the file would see a rule, and there is none.
TEST(Csv, RefusesACarriageReturnThatEndsNoLine) {
  ExpectRefused("p, a, b\n# rules\rp, c, d", "p.csv:2: a carriage return without a line feed");
  ExpectRefused("p, a, \"b\rc\"\n", "p.csv:1: a carriage return without a line feed");
  ExpectRefused("p, a, b\r", "p.csv:1: a carriage return without a line feed");
  ExpectRefused("p, a, b\r\r\n", "p.csv:1: a carriage return without a line feed");
}

}  // namespace
}  // namespace mokv::auth
