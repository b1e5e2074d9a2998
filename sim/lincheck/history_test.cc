#include "sim/lincheck/history.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace mokv::lincheck {
namespace {

std::string ErrorOf(std::string_view text) {
  const auto history = ParseHistory(text);
  return history.ok() ? "" : std::string(MessageOf(history.status()));
}

TEST(ParseHistory, ReadsEveryField) {
  const auto history = ParseHistory(
      R"({"client":1,"op":"cas","key":"k","value":"v","expected":"e","ok":false,"start":-1,"end":9})"
      "\n\n"
      R"({"client":"c","op":"get","key":"k","value":null,"ok":true,"start":2,"end":2})"
      "\r\n"
      R"({"op":"set","key":"k","value":5,"ok":null,"start":3,"end":null,"more":1})");
  ASSERT_TRUE(history.ok()) << history.status();
  ASSERT_EQ(history->size(), 3u);
  const Operation& cas = (*history)[0];
  EXPECT_EQ(cas.client, "1");
  EXPECT_EQ(cas.kind, Kind::kCas);
  EXPECT_EQ(cas.key, "k");
  EXPECT_EQ(cas.value, "v");
  EXPECT_EQ(cas.expected, "e");
  EXPECT_EQ(cas.outcome, Outcome::kNotDone);
  EXPECT_EQ(cas.start, -1);
  EXPECT_EQ(cas.end, 9);
  EXPECT_EQ((*history)[1].value, std::nullopt);
  EXPECT_EQ((*history)[2].value, "5");
  EXPECT_EQ((*history)[2].outcome, Outcome::kUnknown);
  EXPECT_EQ((*history)[2].end, kNever);
}

TEST(ParseHistory, NamesLineAndMistake) {
  EXPECT_EQ(ErrorOf("\n{"), "line 2: not JSON");
  EXPECT_EQ(ErrorOf("[]"), "line 1: not a JSON object");
  EXPECT_EQ(ErrorOf(R"({"op":"put","key":"k"})"),
            "line 1: \"op\" is \"put\"; must be get, set, delete or cas");
  EXPECT_EQ(ErrorOf(R"({"op":"get"})"), "line 1: \"key\" is missing");
  EXPECT_EQ(ErrorOf(R"({"op":"set","key":"k","ok":true,"start":1,"end":2})"),
            "line 1: \"value\" of a write is missing");
  EXPECT_EQ(ErrorOf(R"({"op":"get","key":"k","start":1,"end":2})"),
            "line 1: \"ok\" is missing; must be true, false or null");
  EXPECT_EQ(ErrorOf(R"({"op":"get","key":"k","ok":1,"start":1,"end":2})"),
            "line 1: \"ok\" is 1; must be true, false or null");
  EXPECT_EQ(ErrorOf(R"({"op":"get","key":"k","ok":true,"start":1.5,"end":2})"),
            "line 1: \"start\" is 1.5; must be an integer");
  EXPECT_EQ(ErrorOf(R"({"op":"get","key":"k","ok":true,"start":1,"end":null})"),
            "line 1: \"end\" is missing; must be an integer");
  EXPECT_EQ(ErrorOf(R"({"op":"get","key":"k","ok":true,"start":3,"end":2})"),
            "line 1: ends at 2, before its start at 3");
}

TEST(ToJson, IsReadAsItWas) {
  const std::string lines =
      R"({"client":1,"op":"get","key":"k","value":null,"ok":true,"start":1,"end":9})"
      "\n"
      R"({"client":"b","op":"cas","key":"k","value":"v","expected":null,"ok":false,"start":2,"end":3})"
      "\n"
      R"({"client":"b","op":"set","key":"k","value":"w","ok":null,"start":4,"end":null})"
      "\n";
  const auto history = ParseHistory(lines);
  ASSERT_TRUE(history.ok());
  std::string written;
  for (const Operation& operation : *history) written += ToJson(operation) + "\n";
  const auto again = ParseHistory(written);
  ASSERT_TRUE(again.ok()) << written;
  ASSERT_EQ(again->size(), history->size());
  for (size_t i = 0; i < history->size(); ++i) {
    EXPECT_EQ(ToString((*again)[i]), ToString((*history)[i]));
  }
}

}  // namespace
}  // namespace mokv::lincheck
