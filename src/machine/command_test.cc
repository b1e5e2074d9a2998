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

TEST(CommandCodec, KeepsASession) {
  Command command = Both("a", "b");
  command.session = SessionContext{SessionId(7), 8, 6, "ann"};
  const absl::StatusOr<Command> decoded = DecodeCommand(EncodeCommand(command));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ASSERT_TRUE(decoded->session.has_value());
  EXPECT_EQ(decoded->session->session, SessionId(7));
  EXPECT_EQ(decoded->session->sequence, 8u);
  EXPECT_EQ(decoded->session->lowest_unanswered, 6u);
  EXPECT_EQ(decoded->session->subject, "ann");
  EXPECT_EQ(decoded->operations.size(), 2u);
}

template <typename T>
T RoundTripControl(const T& control) {
  const absl::StatusOr<Command> decoded = DecodeCommand(EncodeCommand(control));
  EXPECT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_TRUE(decoded->operations.empty());
  return std::get<T>(decoded->control);
}

TEST(CommandCodec, KeepsWhatIsNoOperation) {
  const OpenSession open = RoundTripControl(OpenSession{60'000, "ann"});
  EXPECT_EQ(open.ttl_ms, 60'000u);
  EXPECT_EQ(open.subject, "ann");
  const KeepAlive keep_alive =
      RoundTripControl(KeepAlive{{{SessionId(3), "ann"}, {SessionId(4), "bob"}}});
  ASSERT_EQ(keep_alive.sessions.size(), 2u);
  EXPECT_EQ(keep_alive.sessions[1].session, SessionId(4));
  EXPECT_EQ(keep_alive.sessions[1].subject, "bob");
  const CloseSession close = RoundTripControl(CloseSession{SessionId(5), "ann"});
  EXPECT_EQ(close.session, SessionId(5));
  EXPECT_EQ(close.subject, "ann");
  EXPECT_EQ(RoundTripControl(AdvanceTime{ClusterTime(6)}).to, ClusterTime(6));
}

// Goal: a log that an earlier version wrote is read as it was meant.
TEST(CommandCodec, ReadsWhatWasWrittenBeforeThereWereSessions) {
  const absl::StatusOr<Command> set = DecodeCommand(std::string("\x0a\x06\x0a\x01k\x12\x01v", 8));
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(std::get<store::Set>(set->operations.front()).value, "v");
  EXPECT_FALSE(set->session.has_value());
}

TEST(CommandCodec, RefusesNumbersOutOfBounds) {
  const auto expect_refused = [](const Command& command, const char* what) {
    EXPECT_EQ(CheckCommand(command).code(), absl::StatusCode::kInvalidArgument) << what;
  };
  expect_refused(OpenSession{kSessionTtlMsMin - 1, "ann"}, "a short session");
  expect_refused(OpenSession{kSessionTtlMsMax + 1, "ann"}, "a long session");
  expect_refused(KeepAlive{}, "a keep-alive of nothing");
  expect_refused(KeepAlive{{kKeptAliveTogetherMax + 1, {SessionId(1), "ann"}}}, "too many");
  expect_refused(KeepAlive{{{SessionId(0), "ann"}}}, "no session is kept alive");
  expect_refused(CloseSession{SessionId(0), "ann"}, "no session is closed");
  expect_refused(AdvanceTime{kClusterTimeMax.next()}, "the end of time");
  Command command = store::Delete{"k"};
  command.session = SessionContext{SessionId(0), 1, 0, "ann"};
  expect_refused(command, "a write in session 0");
  command.session = SessionContext{SessionId(1), 0, 0, "ann"};
  expect_refused(command, "sequence 0");
  command.session = SessionContext{SessionId(1), 1, 0, "ann"};
  EXPECT_TRUE(CheckCommand(command).ok());
  command.control = AdvanceTime{ClusterTime(1)};
  expect_refused(command, "two things at once");
  Command no_operation;
  no_operation.session = SessionContext{SessionId(1), 1, 0, "ann"};
  expect_refused(no_operation, "a session of nothing");
}

TEST(CommandCodec, KnowsWhatMayGrowAndWhatMayRepeat) {
  EXPECT_TRUE(MayGrow(store::Set{"k", "v"}));
  EXPECT_FALSE(MayGrow(store::Delete{"k"}));
  EXPECT_TRUE(MayGrow(OpenSession{1000, "ann"}));
  EXPECT_FALSE(MayGrow(KeepAlive{{{SessionId(1), "ann"}}}));
  Command command = store::Delete{"k"};
  EXPECT_FALSE(MayRepeat(command));
  command.session = SessionContext{SessionId(1), 1, 0, "ann"};
  EXPECT_TRUE(MayRepeat(command));
  EXPECT_FALSE(MayGrow(command));
  EXPECT_TRUE(MayRepeat(KeepAlive{{{SessionId(1), "ann"}}}));
  EXPECT_FALSE(MayRepeat(OpenSession{1000, "ann"}));
  EXPECT_FALSE(MayRepeat(CloseSession{SessionId(1), "ann"}));
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

  for (const Command& known :
       {Command(OpenSession{1000, "ann"}), Command(CloseSession{SessionId(1), "ann"}),
        Command(KeepAlive{{{SessionId(1), "ann"}}}), Command(AdvanceTime{ClusterTime(1)})}) {
    ExpectDataLoss(EncodeCommand(known) + newer);
  }
  proto::Command session;
  session.mutable_set()->set_key("k");
  session.mutable_session()->set_session(1);
  session.mutable_session()->set_sequence(1);
  ASSERT_TRUE(DecodeCommand(session.SerializeAsString()).ok());
  ASSERT_TRUE(session.mutable_session()->MergeFromString(newer));
  ExpectDataLoss(session.SerializeAsString());
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
