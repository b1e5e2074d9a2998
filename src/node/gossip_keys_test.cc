#include "node/gossip_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/file.h"
#include "base/testing/scratch_directory.h"
#include "serf/keyring_file.h"

namespace mokv {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const std::string kFirst(32, 'a');
const std::string kSecond(16, 'b');

// A configuration whose keyring file has `text`.
class KeyringFile {
 public:
  explicit KeyringFile(std::string_view text) {
    config.serf_keyring_file = directory_.PathOf("keyring");
    MOKV_CHECK(PosixFileSystem().WriteFileAtomically(config.serf_keyring_file, text).ok());
  }

  Config config;

 private:
  ScratchDirectory directory_;
};

TEST(GossipKeys, NoSettingNoKeys) { EXPECT_THAT(*LoadGossipKeys(Config()), IsEmpty()); }

TEST(GossipKeys, AFilesKeysComeInItsOrder) {
  const KeyringFile file(serf::FormatKeyringFile({kFirst, kSecond}));
  const auto loaded = LoadGossipKeys(file.config);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(*loaded, ElementsAre(kFirst, kSecond));
}

TEST(GossipKeys, ABrokenFileIsNamed) {
  const KeyringFile file("[\"no key\"");
  const absl::Status status = LoadGossipKeys(file.config).status();
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr(file.config.serf_keyring_file));
}

}  // namespace
}  // namespace mokv
