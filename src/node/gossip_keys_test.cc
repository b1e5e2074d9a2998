#include "node/gossip_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/check.h"
#include "base/file.h"
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
    char name[] = "/tmp/mokv-keys-XXXXXX";
    MOKV_CHECK(mkdtemp(name) != nullptr);
    directory_ = name;
    config.serf_keyring_file = directory_ + "/keyring";
    MOKV_CHECK(PosixFileSystem().WriteFileAtomically(config.serf_keyring_file, text).ok());
  }
  ~KeyringFile() { std::filesystem::remove_all(directory_); }

  Config config;

 private:
  std::string directory_;
};

TEST(GossipKeys, NoSettingNoKeys) { EXPECT_THAT(LoadGossipKeys(Config())->keys, IsEmpty()); }

TEST(GossipKeys, AFilesKeysComeWithTheirText) {
  const std::string text = serf::FormatKeyringFile({kFirst, kSecond});
  const KeyringFile file(text);
  const auto loaded = LoadGossipKeys(file.config);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->keys, ElementsAre(kFirst, kSecond));
  EXPECT_EQ(loaded->file_text, text);
}

TEST(GossipKeys, ABrokenFileIsNamed) {
  const KeyringFile file("[\"no key\"");
  const absl::Status status = LoadGossipKeys(file.config).status();
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr(file.config.serf_keyring_file));
}

// Goal: an edit between the start and the first look at the file is seen, since the watch begins
// with the text that the keys in use came from.
TEST(KeyringWatch, SeesEachChangeOnce) {
  KeyringWatch watch(serf::FormatKeyringFile({kFirst}));
  EXPECT_FALSE(watch.OnText(serf::FormatKeyringFile({kFirst})).has_value());
  const std::string edited = serf::FormatKeyringFile({kSecond, kFirst});
  const auto keys = watch.OnText(edited);
  ASSERT_TRUE(keys.has_value() && keys->ok());
  EXPECT_THAT(**keys, ElementsAre(kSecond, kFirst));
  EXPECT_FALSE(watch.OnText(edited).has_value());
}

TEST(KeyringWatch, SaysOnceThatATextIsBroken) {
  KeyringWatch watch(serf::FormatKeyringFile({kFirst}));
  const auto broken = watch.OnText("half a f");
  ASSERT_TRUE(broken.has_value());
  EXPECT_FALSE(broken->ok());
  EXPECT_FALSE(watch.OnText("half a f").has_value());
  // Mended, even to what it was: those keys are in use, and using them again does no harm.
  EXPECT_TRUE(watch.OnText(serf::FormatKeyringFile({kFirst})).has_value());
}

}  // namespace
}  // namespace mokv
