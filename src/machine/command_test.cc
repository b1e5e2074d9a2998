#include "machine/command.h"

#include <gtest/gtest.h>

#include <string>

#include "base/random.h"
#include "machine/command.pb.h"

namespace mokv::machine {
namespace {

template <typename T>
T RoundTrip(const T& command) {
  const absl::StatusOr<Command> decoded = DecodeCommand(EncodeCommand(command));
  EXPECT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->operations.size(), 1u);
  return std::get<T>(decoded->operations.front());
}

TEST(CommandCodec, KeepsEveryFieldOfASet) {
  const std::string value("\0\xff bytes", 8);
  const store::Set plain = RoundTrip(store::Set{.key = "k\xc3\xb6", .value = value});
  EXPECT_EQ(plain.key, "k\xc3\xb6");
  EXPECT_EQ(plain.value, value);
  EXPECT_EQ(plain.expected_revision, std::nullopt);
  // Zero is a condition of its own, not the absence of one.
  const store::Set absent =
      RoundTrip(store::Set{.key = "k", .value = "", .expected_revision = Revision(0)});
  EXPECT_EQ(absent.expected_revision, Revision(0));
}

TEST(CommandCodec, KeepsEveryFieldOfADelete) {
  EXPECT_EQ(RoundTrip(store::Delete{.key = "k"}).expected_revision, std::nullopt);
  const store::Delete command =
      RoundTrip(store::Delete{.key = "k", .expected_revision = Revision(~uint64_t{0})});
  EXPECT_EQ(command.key, "k");
  EXPECT_EQ(command.expected_revision, Revision(~uint64_t{0}));
}

Command Both(const std::string& first, const std::string& second) {
  Command command = store::Set{first, "value", Revision(3)};
  command.operations.push_back(store::Delete{second});
  return command;
}

TEST(CommandCodec, KeepsSeveralOperationsInTheirOrder) {
  const absl::StatusOr<Command> decoded = DecodeCommand(EncodeCommand(Both("b", "a")));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ASSERT_EQ(decoded->operations.size(), 2u);
  const auto& set = std::get<store::Set>(decoded->operations[0]);
  EXPECT_EQ(set.key, "b");
  EXPECT_EQ(set.expected_revision, Revision(3));
  EXPECT_EQ(std::get<store::Delete>(decoded->operations[1]).key, "a");
}

void ExpectDataLoss(const std::string& bytes) {
  EXPECT_EQ(DecodeCommand(bytes).status().code(), absl::StatusCode::kDataLoss);
}

TEST(CommandCodec, RefusesNoOperation) { ExpectDataLoss(""); }

TEST(CommandCodec, RefusesATruncatedCommand) {
  const std::string bytes = EncodeCommand(store::Set{.key = "key", .value = "value"});
  for (size_t size = 0; size < bytes.size(); ++size) ExpectDataLoss(bytes.substr(0, size));
}

TEST(CommandCodec, RefusesWhatANewerVersionMayWrite) {
  // Field 15, a varint of 1: as an operation, next to one, and inside a set or a delete.
  const std::string newer = "\x78\x01";
  ExpectDataLoss(newer);
  ExpectDataLoss(EncodeCommand(store::Set{.key = "k", .value = "v"}) + newer);

  proto::Command set;
  ASSERT_TRUE(set.mutable_set()->ParseFromString(newer));
  ExpectDataLoss(set.SerializeAsString());

  proto::Command erase;
  ASSERT_TRUE(erase.mutable_delete_()->ParseFromString(newer));
  ExpectDataLoss(erase.SerializeAsString());
}

// Goal: what would be refused at apply, where a node can only stop, never gets into the log.
TEST(CommandCodec, RefusesOneKeyTwice) {
  EXPECT_TRUE(CheckCommand(Both("a", "b")).ok());
  EXPECT_EQ(CheckCommand(Both("a", "a")).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CheckCommand(Command()).code(), absl::StatusCode::kInvalidArgument);

  proto::Command twice;
  twice.add_operations()->mutable_set()->set_key("a");
  twice.add_operations()->mutable_delete_()->set_key("a");
  ExpectDataLoss(twice.SerializeAsString());
}

TEST(CommandCodec, RefusesAListBesideAnOperation) {
  proto::Command both;
  both.mutable_set()->set_key("a");
  both.add_operations()->mutable_delete_()->set_key("b");
  ExpectDataLoss(both.SerializeAsString());
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
}  // namespace mokv::machine
