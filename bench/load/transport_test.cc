#include "load/transport.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace mokv::load {
namespace {

TEST(ParseEndpoint, KnowsNamesAndAddresses) {
  const absl::StatusOr<Endpoint> name = ParseEndpoint("localhost:8400");
  ASSERT_TRUE(name.ok());
  EXPECT_EQ(name->host, "localhost");
  EXPECT_EQ(name->port, "8400");
  const absl::StatusOr<Endpoint> v6 = ParseEndpoint("[::1]:80");
  ASSERT_TRUE(v6.ok());
  EXPECT_EQ(v6->host, "::1");
}

TEST(ParseEndpoint, RefusesTheRest) {
  for (const char* text : {"", "localhost", ":80", "localhost:"}) {
    EXPECT_EQ(ParseEndpoint(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(TlsContext, NamesTheFileThatCannotBeRead) {
  LoadOptions options;
  options.ca_file = "/nonexistent/ca.pem";
  const auto context = NewTlsContext(options);
  ASSERT_FALSE(context.ok());
  EXPECT_NE(MessageOf(context.status()).find("/nonexistent/ca.pem"), std::string_view::npos);
}

TEST(Connect, NamesTheEndpointThatDoesNotAnswer) {
  const auto transport = Connect({"127.0.0.1", "1"}, nullptr, 1);
  ASSERT_FALSE(transport.ok());
  EXPECT_NE(MessageOf(transport.status()).find("127.0.0.1:1"), std::string_view::npos);
}

}  // namespace
}  // namespace mokv::load
