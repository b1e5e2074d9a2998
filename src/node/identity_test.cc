#include "node/identity.h"

#include <gtest/gtest.h>

#include "base/status.h"
#include "base/testing/crash_file_system.h"

namespace mokv {
namespace {

TEST(Identity, IsMadeOnceAndKept) {
  CrashFileSystem files;
  ASSERT_TRUE(files.CreateDirectories("data").ok());
  const auto made = LoadOrMakeIdentity(files, "data", "node-1");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->instance_id.size(), 32u);
  SeededRandom random(1);
  files.PowerLoss(random);
  EXPECT_EQ(*LoadOrMakeIdentity(files, "data", "node-1"), *made);
}

TEST(Identity, RefusesAnotherNodesDirectory) {
  CrashFileSystem files;
  ASSERT_TRUE(files.CreateDirectories("data").ok());
  ASSERT_TRUE(LoadOrMakeIdentity(files, "data", "node-1").ok());
  const auto refused = LoadOrMakeIdentity(files, "data", "node-2");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(MessageOf(refused.status()), "data-dir data belongs to node node-1, not to node-2");
}

TEST(Identity, AnyDamageIsNoticed) {
  const std::string text =
      EncodeIdentity({"node-1", "0123456789abcdef", "fedcba9876543210", {"abc"}});
  ASSERT_TRUE(DecodeIdentity("identity", text).ok());
  for (size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(DecodeIdentity("identity", damaged).ok()) << "byte " << i;
    EXPECT_FALSE(DecodeIdentity("identity", text.substr(0, i)).ok()) << "cut at " << i;
  }
}

// Goal: a program that does not know of rebuilt directories must not take one for a new node's; all
//       others stay as they were.
TEST(Identity, KeepsWhatItReplacesInAFormatOfItsOwn) {
  const Identity rebuilt{"node-1", "new", "cluster", {"old", "older"}};
  const std::string text = EncodeIdentity(rebuilt);
  EXPECT_EQ(text.find("mokv-identity: 2\n"), 0u) << text;
  EXPECT_EQ(*DecodeIdentity("identity", text), rebuilt);
  EXPECT_EQ(EncodeIdentity({"node-1", "new", "cluster"}).find("mokv-identity: 1\n"), 0u);
}

TEST(Identity, RefusesANewerFormat) {
  const auto newer = DecodeIdentity("identity", "mokv-identity: 3\nchecksum: 0\n");
  EXPECT_EQ(newer.status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace mokv
