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
  std::shared_ptr<const void> before = machine.Install({.store = *std::move(loaded)});

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

}  // namespace
}  // namespace mokv::machine
