// Starts that fail half-way: what was begun is ended in order. (Nodes that run: tests/e2e.)
#include "node/node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/status.h"
#include "base/testing/scratch_directory.h"
#include "net/io_pool.h"
#include "net/listener.h"

namespace mokv {
namespace {

// Goal:   a node that cannot start lets go of everything in order; a sanitizer sees it if not.
// Method: the last port that it binds is somebody else's.
TEST(NodeTest, EndsInOrderWhatItHasBegunWhenItCannotStart) {
  net::IoPool pool(1);
  const auto taken = net::Listener::Bind(pool, {.address = {"127.0.0.1", 0}});
  ASSERT_TRUE(taken.ok()) << taken.status();
  const ScratchDirectory directory;
  const char* const arguments[] = {"mokv", "--insecure"};
  auto parsed = ParseCommandLine(2, arguments, {{"HOME", directory.path()}});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  Config& config = parsed->config;
  config.bind_addr = config.advertise_addr = {"127.0.0.1", 0};
  config.rpc_port = 0;
  config.metrics_port = (*taken)->port();
  const absl::Status started = Node::Start(config).status();
  EXPECT_THAT(MessageOf(started), testing::HasSubstr("metrics-port"));
}

}  // namespace
}  // namespace mokv
