#include "node/beginning.h"

#include <gtest/gtest.h>

#include "replica/peers.h"

namespace mokv {
namespace {

TEST(Beginning, ANewNodeBeginsAClusterIfItIsToldTo) {
  const Identity identity{"n1", "instance", ""};
  EXPECT_TRUE(NewClusterId({.bootstrap = true}, "data", identity).has_value());
  EXPECT_FALSE(NewClusterId({.bootstrap = false}, "data", identity).has_value());
}

// Goal: `bootstrap` that stays in a configuration makes no second cluster, whatever a member lost.
TEST(Beginning, WhoHasOrHadAClusterBeginsNone) {
  const Identity of_cluster{"n1", "instance", "cluster"};
  EXPECT_FALSE(NewClusterId({.bootstrap = true}, "data", of_cluster).has_value());
  const Identity unknown{"n1", "instance", ""};
  EXPECT_FALSE(NewClusterId({.bootstrap = true, .has_state = true}, "data", unknown).has_value());
  const Identity rebuilt{"n1", "instance", "", {std::string(replica::kAnyInstance)}};
  EXPECT_FALSE(NewClusterId({.bootstrap = true}, "data", rebuilt).has_value());
}

}  // namespace
}  // namespace mokv
