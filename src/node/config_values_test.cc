#include "node/config_values.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace mokv {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(ParseDuration, TakesEachUnit) {
  EXPECT_EQ(ParseDuration("250ms"), milliseconds(250));
  EXPECT_EQ(ParseDuration("5s"), seconds(5));
  EXPECT_EQ(ParseDuration("10m"), minutes(10));
  EXPECT_EQ(ParseDuration("2h"), hours(2));
  EXPECT_EQ(ParseDuration("0"), Duration::zero());
}

TEST(ParseDuration, RefusesAnythingElse) {
  for (const char* text : {"", "5", "-5s", "+5s", "5 s", "s", "1.5s", "5d", "5S", "0x5s", "5sm",
                           "18446744073709551616ms", "9223372037s", "2562048h"}) {
    EXPECT_EQ(ParseDuration(text), std::nullopt) << text;
  }
}

TEST(ParseSize, TakesEachUnit) {
  EXPECT_EQ(ParseSize("0"), 0u);
  EXPECT_EQ(ParseSize("17"), 17u);
  EXPECT_EQ(ParseSize("4KiB"), 4096u);
  EXPECT_EQ(ParseSize("1MiB"), 1048576u);
  EXPECT_EQ(ParseSize("3GiB"), 3221225472u);
  EXPECT_EQ(ParseSize("18446744073709551615"), UINT64_MAX);
}

TEST(ParseSize, RefusesAnythingElse) {
  for (const char* text : {"", "KiB", "1MB", "1k", "-1", "1.5MiB", "1 MiB", "18446744073709551616",
                           "17179869184GiB"}) {
    EXPECT_EQ(ParseSize(text), std::nullopt) << text;
  }
}

TEST(ParseBool, TakesCommonSpellings) {
  for (const char* text : {"true", "True", "yes", "on", "1"}) EXPECT_EQ(ParseBool(text), true);
  for (const char* text : {"false", "FALSE", "no", "off", "0"}) EXPECT_EQ(ParseBool(text), false);
  for (const char* text : {"", "2", "t", "maybe"}) EXPECT_EQ(ParseBool(text), std::nullopt);
}

TEST(ParseAddress, TakesNamesAndAddresses) {
  EXPECT_EQ(ParseAddress("localhost:1"), (net::HostPort{"localhost", 1}));
  EXPECT_EQ(ParseAddress("127.0.0.1:8401"), (net::HostPort{"127.0.0.1", 8401}));
  EXPECT_EQ(ParseAddress("node-1.example.com:65535"), (net::HostPort{"node-1.example.com", 65535}));
  EXPECT_EQ(ParseAddress("[::1]:8401"), (net::HostPort{"::1", 8401}));
}

TEST(ParseAddress, RefusesAnythingElse) {
  for (const char* text :
       {"", "localhost", "8401", ":8401", "localhost:", "localhost:0", "localhost:65536",
        "localhost:-1", "localhost:http", "::1:8401", "[::1]", "[]:1", "[localhost]:1",
        "[127.0.0.1]:1", "300.1.1.1:1", "1.2.3:1", "a b:1", "http://a:1"}) {
    EXPECT_EQ(ParseAddress(text), std::nullopt) << text;
  }
}

TEST(IsWildcardHost, KnowsEveryForm) {
  for (const char* host : {"0.0.0.0", "::", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0"}) {
    EXPECT_TRUE(IsWildcardHost(host)) << host;
  }
  for (const char* host : {"127.0.0.1", "::1", "localhost", "", "::ffff:127.0.0.1"}) {
    EXPECT_FALSE(IsWildcardHost(host)) << host;
  }
}

TEST(IsGossipKey, ChecksTheLengthOfWhatIsEncoded) {
  EXPECT_TRUE(IsGossipKey("AAAAAAAAAAAAAAAAAAAAAA=="));                      // 16
  EXPECT_TRUE(IsGossipKey("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));              // 24
  EXPECT_TRUE(IsGossipKey("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));  // 32
  EXPECT_FALSE(IsGossipKey(""));
  EXPECT_FALSE(IsGossipKey("AAAAAAAAAAAAAAAAAAAAAA"));    // No padding.
  EXPECT_FALSE(IsGossipKey("AAAAAAAAAAAAAAAAAAAAAAA="));  // 17 bytes.
  EXPECT_FALSE(IsGossipKey("AAAAAAAAAA AAAAAAAAAAA=="));
  EXPECT_FALSE(IsGossipKey("????????????????????????"));
}

TEST(ExpandVariables, ReplacesVariablesAndHome) {
  const Environment environment = {{"HOME", "/home/ada"}, {"A_1", "x"}, {"EMPTY", ""}};
  const auto expand = [&](std::string_view text) {
    return ExpandVariables(text, environment).value();
  };
  EXPECT_EQ(expand(""), "");
  EXPECT_EQ(expand("plain"), "plain");
  EXPECT_EQ(expand("~"), "/home/ada");
  EXPECT_EQ(expand("~/data"), "/home/ada/data");
  EXPECT_EQ(expand("a~/b"), "a~/b");
  EXPECT_EQ(expand("~ada/b"), "~ada/b");
  EXPECT_EQ(expand("$HOME/.mokv"), "/home/ada/.mokv");
  EXPECT_EQ(expand("${A_1}y$A_1-$EMPTY."), "xyx-.");
  EXPECT_EQ(expand("cost: $$5"), "cost: $5");
}

TEST(ExpandVariables, DoesNotExpandWhatItInserted) {
  EXPECT_EQ(ExpandVariables("$A", {{"A", "$B ~"}, {"B", "no"}}).value(), "$B ~");
}

TEST(ExpandVariables, RefusesUnsetVariablesAndLoneDollars) {
  for (const char* text : {"$NONE", "a${NONE}", "~/x"}) {
    const absl::Status status = ExpandVariables(text, {}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_NE(MessageOf(status).find(text[0] == '~' ? "HOME" : "NONE"), std::string_view::npos);
  }
  for (const char* text : {"$", "a$", "$1", "${", "${A", "${}", "${A-b}", "$-"}) {
    const absl::Status status = ExpandVariables(text, {{"A", "a"}}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_NE(MessageOf(status).find("dollar"), std::string_view::npos) << text;
  }
}

}  // namespace
}  // namespace mokv
