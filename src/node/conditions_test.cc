#include "node/conditions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mokv {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ConditionsTest : public ::testing::Test {
 protected:
  ConditionsTest() {
    inputs.node_name = "n1";
    inputs.status.is_member = true;
  }
  std::vector<std::string> Whats() const {
    std::vector<std::string> whats;
    for (const Condition& condition : FindConditions(inputs)) whats.push_back(condition.what);
    return whats;
  }

  ConditionInputs inputs;
};

TEST_F(ConditionsTest, AWellNodeHasNone) {
  inputs.memory_bytes = 1'000;
  EXPECT_THAT(Whats(), IsEmpty());
  inputs.memory_bytes_max = 1'001;
  EXPECT_THAT(Whats(), IsEmpty());
}

TEST_F(ConditionsTest, EachIsNamed) {
  inputs.fenced = "because";
  inputs.status.lost_through = Index(7);
  inputs.out_of_space = true;
  inputs.status.snapshots.last_error = "disk full";
  inputs.memory_bytes = inputs.memory_bytes_max = 1;
  EXPECT_THAT(Whats(), ElementsAre("fenced", "lacks acknowledged entries", "no space",
                                   "no new snapshots", "memory limit"));
}

TEST_F(ConditionsTest, WhoIsNoMemberHearsWhatToDo) {
  inputs.status.is_member = false;
  EXPECT_THAT(Whats(), ElementsAre("waits to be added"));
  inputs.met_as_another_instance = true;
  EXPECT_THAT(FindConditions(inputs).front().text, HasSubstr("mokvctl member remove n1 first"));
  EXPECT_THAT(FindConditions(inputs).front().text, HasSubstr("mokvctl rebuild"));
  // Nobody has to do anything about one that was rebuilt.
  inputs.is_rebuilt = true;
  EXPECT_THAT(Whats(), ElementsAre("rebuilt, waits to be added"));
}

TEST_F(ConditionsTest, ASnapshotThatFailedIsToldUntilOneSucceeds) {
  inputs.status.snapshots.failed = 1;
  inputs.status.snapshots.last_error = "n1/snapshots: no space left on device";
  const std::vector<Condition> found = FindConditions(inputs);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found.front().name, "snapshots");
  EXPECT_THAT(found.front().text, HasSubstr("n1/snapshots: no space left on device"));
  EXPECT_THAT(found.front().text, HasSubstr("Make room in data-dir"));
  inputs.status.snapshots.last_error.clear();
  EXPECT_THAT(Whats(), IsEmpty());
}

TEST_F(ConditionsTest, FilesThatCannotBeUsedAreToldUntilTheyCan) {
  inputs.not_reloaded = {"access rules"};
  const std::vector<Condition> found = FindConditions(inputs);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found.front().what, "access rules not reloaded");
  EXPECT_THAT(found.front().text, HasSubstr("the old ones stay in force"));
}

TEST_F(ConditionsTest, EachIsOneOfTheChecks) {
  inputs.fenced = "because";
  inputs.differing = "n2 has another state";
  inputs.status.is_member = false;
  inputs.status.lost_through = Index(7);
  inputs.out_of_space = true;
  inputs.status.snapshots.last_error = "disk full";
  inputs.memory_bytes = inputs.memory_bytes_max = 1;
  inputs.not_reloaded = {"access rules"};
  std::vector<std::string> names;
  for (const Condition& condition : FindConditions(inputs)) names.push_back(condition.name);
  EXPECT_EQ(names, ConditionNames());
}

}  // namespace
}  // namespace mokv
