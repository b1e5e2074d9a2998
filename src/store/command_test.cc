#include "store/command.h"

#include <gtest/gtest.h>

#include <string>

#include "base/random.h"
#include "store/command.pb.h"

namespace mokv::store {
namespace {

template <typename T>
T RoundTrip(const T& command) {
  const absl::StatusOr<Command> decoded = DecodeCommand(EncodeCommand(command));
  EXPECT_TRUE(decoded.ok()) << decoded.status();
  return std::get<T>(*decoded);
}

TEST(CommandCodec, KeepsEveryFieldOfASet) {
  const std::string value("\0\xff bytes", 8);
  const SetCommand plain = RoundTrip(SetCommand{.key = "k\xc3\xb6", .value = value});
  EXPECT_EQ(plain.key, "k\xc3\xb6");
  EXPECT_EQ(plain.value, value);
  EXPECT_EQ(plain.expected_revision, std::nullopt);
  // Zero is a condition of its own, not the absence of one.
  const SetCommand absent =
      RoundTrip(SetCommand{.key = "k", .value = "", .expected_revision = Revision(0)});
  EXPECT_EQ(absent.expected_revision, Revision(0));
}

TEST(CommandCodec, KeepsEveryFieldOfADelete) {
  EXPECT_EQ(RoundTrip(DeleteCommand{.key = "k"}).expected_revision, std::nullopt);
  const DeleteCommand command =
      RoundTrip(DeleteCommand{.key = "k", .expected_revision = Revision(~uint64_t{0})});
  EXPECT_EQ(command.key, "k");
  EXPECT_EQ(command.expected_revision, Revision(~uint64_t{0}));
}

void ExpectDataLoss(const std::string& bytes) {
  EXPECT_EQ(DecodeCommand(bytes).status().code(), absl::StatusCode::kDataLoss);
}

TEST(CommandCodec, RefusesNoOperation) { ExpectDataLoss(""); }

TEST(CommandCodec, RefusesATruncatedCommand) {
  const std::string bytes = EncodeCommand(SetCommand{.key = "key", .value = "value"});
  for (size_t size = 0; size < bytes.size(); ++size) ExpectDataLoss(bytes.substr(0, size));
}

TEST(CommandCodec, RefusesWhatANewerVersionMayWrite) {
  // Field 15, a varint of 1: as an operation, next to one, and inside a set or a delete.
  const std::string newer = "\x78\x01";
  ExpectDataLoss(newer);
  ExpectDataLoss(EncodeCommand(SetCommand{.key = "k", .value = "v"}) + newer);

  proto::Command set;
  ASSERT_TRUE(set.mutable_set()->ParseFromString(newer));
  ExpectDataLoss(set.SerializeAsString());

  proto::Command erase;
  ASSERT_TRUE(erase.mutable_delete_()->ParseFromString(newer));
  ExpectDataLoss(erase.SerializeAsString());
}

TEST(CommandCodec, SurvivesGarbage) {
  constexpr uint64_t kSeed = 11;
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  SeededRandom random(kSeed);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(random.Next() % 24, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random.Next());
    const absl::StatusOr<Command> decoded = DecodeCommand(bytes);
    ASSERT_TRUE(decoded.ok() || decoded.status().code() == absl::StatusCode::kDataLoss);
  }
}

}  // namespace
}  // namespace mokv::store
