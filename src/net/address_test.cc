#include "net/address.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace mokv::net {
namespace {

TEST(ParseHostPort, ReadsWhatPeopleWrite) {
  EXPECT_EQ(*ParseHostPort("127.0.0.1:8400"), (HostPort{"127.0.0.1", 8400}));
  EXPECT_EQ(*ParseHostPort("node-1.example:1"), (HostPort{"node-1.example", 1}));
  EXPECT_EQ(*ParseHostPort("[::1]:65535"), (HostPort{"::1", 65535}));
  EXPECT_EQ(ParseHostPort("[::1]:65535")->ToString(), "[::1]:65535");
}

TEST(ParseHostPort, RefusesTheRestNamingIt) {
  for (const char* text : {"", "host", ":1", "host:", "host:x", "host:65536", "host:-1", "::1:80",
                           "[::1:80", "[[]:80", "a]:80", "h:1 "}) {
    const auto parsed = ParseHostPort(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_NE(MessageOf(parsed.status()).find(text), std::string_view::npos);
  }
}

}  // namespace
}  // namespace mokv::net
