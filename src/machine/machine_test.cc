#include "machine/machine.h"

#include <gtest/gtest.h>

#include "base/status.h"
#include "machine/command.h"

namespace mokv::machine {
namespace {

Entry CommandEntry(uint64_t index, const Command& command) {
  return {.index = Index(index),
          .term = Term(1),
          .type = EntryType::kCommand,
          .payload = std::make_shared<const std::string>(EncodeCommand(command))};
}

Command Together(std::initializer_list<store::Operation> operations) {
  Command command;
  for (const store::Operation& operation : operations) command.operations.push_back(operation);
  return command;
}

std::vector<Result> Apply(Machine& machine, const std::vector<Entry>& entries) {
  std::vector<Result> results;
  const absl::Status status = machine.Apply(entries, results);
  EXPECT_TRUE(status.ok()) << status;
  machine.Publish();
  return results;
}

TEST(Machine, GivesEveryEntryAResult) {
  Machine machine;
  const Entry no_op{
      .index = Index(1), .term = Term(1), .type = EntryType::kNoOp, .payload = nullptr};
  const auto results =
      Apply(machine, {no_op, CommandEntry(2, store::Set{"a", "1"}),
                      CommandEntry(3, store::Delete{"a"}), CommandEntry(4, store::Delete{"a"})});
  ASSERT_EQ(results.size(), 4u);
  EXPECT_EQ(results[1], Result{.revision = Revision(1)});
  EXPECT_EQ(results[2], (Result{.revision = Revision(2), .deleted = 1}));
  EXPECT_EQ(results[3], Result{.revision = Revision(2)});
}

TEST(Machine, ACommandIsOneRevision) {
  Machine machine;
  Apply(machine, {CommandEntry(1, store::Set{"a", "1"})});
  const auto results = Apply(
      machine, {CommandEntry(2, Together({store::Set{"b", "2"}, store::Delete{"a"},
                                          store::Set{"c", "3"}, store::Delete{"not there"}}))});
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0], (Result{.revision = Revision(2), .deleted = 1}));
  const auto view = machine.TakeView();
  EXPECT_EQ(view->revision(), Revision(2));
  EXPECT_EQ(view->Find("a"), nullptr);
  for (const char* key : {"b", "c"}) {
    ASSERT_NE(view->Find(key), nullptr);
    EXPECT_EQ(view->Find(key)->mod_revision(), Revision(2));
  }
}

// Goal: the operations of a command are carried out together, or none of them is.
TEST(Machine, AConditionThatFailsLeavesNothingBehind) {
  Machine machine;
  Apply(machine, {CommandEntry(1, store::Set{"a", "1"})});
  const store::Digest before = machine.digest();
  const auto results = Apply(
      machine, {CommandEntry(2, Together({store::Set{"b", "2"}, store::Delete{"a", Revision(1)},
                                          store::Set{"c", "3", Revision(7)}}))});
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].outcome, Result::Outcome::kConditionFailed);
  EXPECT_EQ(results[0].failed_operation, 2u);
  EXPECT_EQ(results[0].found_revision, Revision(0));
  EXPECT_EQ(machine.revision(), Revision(1));
  EXPECT_EQ(machine.digest(), before);
}

TEST(Machine, StopsAtWhatItDoesNotKnow) {
  Machine machine;
  std::vector<Result> results;
  const Entry garbage{.index = Index(7),
                      .term = Term(1),
                      .type = EntryType::kCommand,
                      .payload = std::make_shared<const std::string>("\x99 what?")};
  const absl::Status status = machine.Apply({{garbage}}, results);
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_NE(MessageOf(status).find("log entry 7"), std::string_view::npos) << status;
}

// Goal: a state that is installed is the state from then on; whoever looks at the one before keeps
//       what it has seen.
TEST(Machine, ExchangesItsWholeState) {
  Machine machine;
  Apply(machine, {CommandEntry(1, store::Set{"a", "old"})});
  store::Reader reader(machine.store());
  const store::Item* seen = reader.Find("a");
  ASSERT_NE(seen, nullptr);
  const auto view = machine.TakeView();

  store::BulkLoader loader;
  ASSERT_TRUE(loader
                  .Add({.key = "a",
                        .value = "new",
                        .create_revision = Revision(1),
                        .mod_revision = Revision(9),
                        .version = 9})
                  .ok());
  auto loaded = loader.Finish(Revision(9));
  ASSERT_TRUE(loaded.ok());
  const std::shared_ptr<const void> before =
      machine.Install({*std::move(loaded), std::make_unique<Sessions>()}).store;

  EXPECT_EQ(machine.revision(), Revision(9));
  EXPECT_EQ(reader.Find("a")->value(), "new");
  EXPECT_EQ(seen->value(), "old") << "it is this turn's until Leave";
  EXPECT_EQ(view->Find("a")->value(), "old");
  EXPECT_GT(before.use_count(), 2) << "the reader and the view have it, too";
  reader.Leave();
  EXPECT_EQ(before.use_count(), 2);
  EXPECT_EQ(Apply(machine, {CommandEntry(10, store::Set{"b", "1"})})[0].revision, Revision(10));
  EXPECT_EQ(view->revision(), Revision(1));
}

// --- sessions, through the log

using Outcome = Result::Outcome;

Command InSession(store::Operation operation, uint64_t session, uint64_t sequence,
                  const std::string& subject = "ann") {
  Command command = std::move(operation);
  command.session = SessionContext{SessionId(session), sequence, 0, subject};
  return command;
}

TEST(MachineSessions, AWriteThatComesAgainIsCarriedOutOnce) {
  Machine machine;
  const auto results = Apply(machine, {CommandEntry(5, OpenSession{1000, "ann"}),
                                       CommandEntry(6, InSession(store::Set{"a", "1"}, 5, 1)),
                                       CommandEntry(7, store::Set{"a", "2"}),
                                       CommandEntry(8, InSession(store::Set{"a", "1"}, 5, 1)),
                                       CommandEntry(9, InSession(store::Delete{"a"}, 5, 2)),
                                       CommandEntry(10, InSession(store::Delete{"a"}, 5, 2))});
  ASSERT_EQ(results.size(), 6u);
  EXPECT_EQ(results[0].session, SessionId(5)) << "the index of its entry";
  EXPECT_EQ(results[1], Result{.revision = Revision(1)});
  EXPECT_EQ(results[2], Result{.revision = Revision(2)});
  EXPECT_EQ(results[3], results[1]);
  EXPECT_EQ(results[4], (Result{.revision = Revision(3), .deleted = 1}));
  EXPECT_EQ(results[5], results[4]);
  EXPECT_EQ(machine.revision(), Revision(3));
}

TEST(MachineSessions, AConditionThatFailedFailsAgain) {
  Machine machine;
  const Command conditional = InSession(store::Set{"a", "1", Revision(9)}, 1, 1);
  const auto results =
      Apply(machine, {CommandEntry(1, OpenSession{1000, "ann"}), CommandEntry(2, conditional),
                      CommandEntry(3, store::Set{"a", "2"}), CommandEntry(4, conditional)});
  EXPECT_EQ(results[1].outcome, Outcome::kConditionFailed);
  EXPECT_EQ(results[1].found_revision, Revision(0));
  EXPECT_EQ(results[3], results[1]) << "as it was the first time, not as it is now";
}

TEST(MachineSessions, AWriteInNoSessionIsNotCarriedOut) {
  Machine machine;
  const auto results =
      Apply(machine, {CommandEntry(1, OpenSession{1000, "ann"}),
                      CommandEntry(2, InSession(store::Set{"a", "1"}, 1, 1, "bob")),
                      CommandEntry(3, InSession(store::Set{"a", "1"}, 77, 1)),
                      CommandEntry(4, AdvanceTime{ClusterTime(2000)}),
                      CommandEntry(5, InSession(store::Set{"a", "1"}, 1, 1)),
                      CommandEntry(6, CloseSession{SessionId(1), "ann"})});
  for (size_t i : {1, 2, 4, 5}) EXPECT_EQ(results[i].outcome, Outcome::kNoSession) << i;
  EXPECT_EQ(machine.revision(), Revision(0));
  EXPECT_EQ(machine.TakeView()->Find("a"), nullptr);
}

TEST(MachineSessions, TimePassesByTheLogAlone) {
  Machine machine;
  EXPECT_FALSE(machine.AnythingExpires());
  Apply(machine, {CommandEntry(1, OpenSession{1000, "ann"})});
  EXPECT_TRUE(machine.AnythingExpires());
  EXPECT_EQ(machine.sessions(), 1u);
  Apply(machine, {CommandEntry(2, AdvanceTime{ClusterTime(1000)}),
                  CommandEntry(3, KeepAlive{{{SessionId(1), "ann"}}}),
                  CommandEntry(4, AdvanceTime{ClusterTime(2999)})});
  EXPECT_EQ(machine.time(), ClusterTime(2999));
  EXPECT_TRUE(machine.AnythingExpires());
  Apply(machine, {CommandEntry(5, AdvanceTime{ClusterTime(3000)})});
  EXPECT_FALSE(machine.AnythingExpires());
  EXPECT_EQ(machine.sessions(), 0u);
}

TEST(MachineSessions, AreInTheDigestAndInTheMemory) {
  Machine one;
  Machine other;
  for (Machine* machine : {&one, &other}) Apply(*machine, {CommandEntry(1, store::Set{"a", "1"})});
  EXPECT_EQ(one.digest(), other.digest());
  const uint64_t bytes = one.memory_bytes();
  Apply(one, {CommandEntry(2, OpenSession{1000, "ann"})});
  EXPECT_FALSE(one.digest() == other.digest());
  EXPECT_GT(one.memory_bytes(), bytes);
  Apply(other, {CommandEntry(2, OpenSession{1000, "ann"})});
  EXPECT_EQ(one.digest(), other.digest());
  Apply(one, {CommandEntry(3, AdvanceTime{ClusterTime(1)})});
  EXPECT_FALSE(one.digest() == other.digest());
}

TEST(MachineSessions, AreInstalledTogetherWithTheStore) {
  Machine machine;
  Apply(machine, {CommandEntry(1, OpenSession{1000, "ann"}),
                  CommandEntry(2, InSession(store::Set{"a", "1"}, 1, 1))});
  Sessions::Loader loader;
  const FrozenState frozen = machine.Freeze();
  for (size_t part = 0; part < Sessions::Frozen::kParts; ++part) {
    for (const std::string& record : frozen.sessions->Records(part)) {
      ASSERT_TRUE(loader.Add(record).ok());
    }
  }
  store::BulkLoader items;
  ASSERT_TRUE(items.Add(machine.TakeView()->Find("a")->fields()).ok());

  Machine other;
  Apply(other, {CommandEntry(1, OpenSession{1000, "bob"})});
  const Machine::Replaced replaced = other.Install({*items.Finish(Revision(1)), *loader.Finish()});
  EXPECT_EQ(replaced.sessions->size(), 1u);
  EXPECT_EQ(other.digest(), machine.digest());
  const Entry again = CommandEntry(3, InSession(store::Set{"a", "1"}, 1, 1));
  EXPECT_EQ(Apply(other, {again}), Apply(machine, {again}));
  EXPECT_EQ(other.revision(), Revision(1));
}

}  // namespace
}  // namespace mokv::machine
