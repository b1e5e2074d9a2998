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
  EXPECT_THAT(Parsed("p, \"a, b\" , \" spaced \", \"say \"\"hi\"\"\"\n\"p\",x,\"#\",\"(\""),
              ElementsAre(CsvLine{1, {"p", "a, b", " spaced ", "say \"hi\""}},
                          CsvLine{2, {"p", "x", "#", "("}}));
}

TEST(Csv, KeepsCommasWithinBrackets) {
  EXPECT_THAT(Parsed("p, r.sub in ('a', 'b') && f(x, (y), z), c"),
              ElementsAre(CsvLine{1, {"p", "r.sub in ('a', 'b') && f(x, (y), z)", "c"}}));
}

TEST(Csv, NamesTheLineOfWhatItRefuses) {
  ExpectRefused("\np, b\"c, d", "p.csv:2: a quote within a field");
  ExpectRefused("p, a, \"b, c\nd\"", "p.csv:1: a quoted field that does not end");
  ExpectRefused("p, a, \"b\" c, d", "p.csv:1: text after the end of a quoted field");
  ExpectRefused("p, f(a, b", "p.csv:1: round brackets that do not match");
  ExpectRefused("p, a), b(", "p.csv:1: round brackets that do not match");
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
