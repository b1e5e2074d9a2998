// What a leader does with what other nodes pass on to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <variant>

#include "base/status.h"
#include "replica/forward_guard.h"
#include "replica/testing/cluster.h"

namespace mokv::replica {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ClusterOptions;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::ReplicaCluster;
using testing::StatusOutcome;
using testing::WriteOutcome;
using Fate = WriteResult::Fate;

// Lets `alice` write and `root` change the cluster, and keeps what it was asked and told.
class FakeGuard final : public ForwardGuard {
 public:
  absl::Status CheckWrite(std::string_view node, std::string_view subject,
                          const machine::Command& command, WriteTold& told) override {
    const std::string& key = store::KeyOf(command.operations.front());
    asked.push_back(fmt::format("{}: {} writes {}", node, subject, key));
    told = [this](const WriteResult& result) {
      fates.emplace_back(result.fate == Fate::kApplied ? "applied" : MessageOf(result.reason));
    };
    return subject == "alice" ? absl::OkStatus() : absl::PermissionDeniedError("not alice");
  }
  absl::Status CheckChange(std::string_view node, const AdminRequest& request,
                           ChangeTold& told) override {
    asked.push_back(fmt::format("{}: {} changes {}", node, request.subject, request.name));
    told = [this](const absl::Status& status) {
      fates.emplace_back(status.ok() ? "done" : MessageOf(status));
    };
    return request.subject == "root" ? absl::OkStatus() : absl::PermissionDeniedError("not root");
  }

  std::vector<std::string> asked;
  std::vector<std::string> fates;
};

class ForwardClusterTest : public ::testing::Test {
 protected:
  ForwardClusterTest() { cluster.Form(); }

  ClusterOptions Options() {
    ClusterOptions options;
    options.life.forward_guard = &guard;
    return options;
  }
  bool Holds(const std::string& name, const std::string& key) {
    return cluster.machine(name).TakeView()->Find(key) != nullptr;
  }
  // Through the node of this name.
  WriteResult Write(const std::string& name, const std::string& subject, const std::string& key) {
    const WriteOutcome outcome =
        cluster.life(name).Propose(store::Set{key, "value"}, seconds(5), subject);
    cluster.RunUntil([&] { return outcome->has_value(); }, "the write is answered");
    return **outcome;
  }
  absl::Status Change(const std::string& name, AdminRequest request) {
    const StatusOutcome outcome = cluster.life(name).Request(std::move(request));
    cluster.RunUntil([&] { return outcome->has_value(); }, "the change is answered");
    return **outcome;
  }

  FakeGuard guard;
  ReplicaCluster cluster{Options()};
};

TEST_F(ForwardClusterTest, TheLeaderAsksAgain) {
  EXPECT_EQ(Write("n2", "alice", "a").fate, Fate::kApplied);
  EXPECT_THAT(guard.asked, ElementsAre("n2: alice writes a"));
  EXPECT_THAT(guard.fates, ElementsAre("applied"));
}

TEST_F(ForwardClusterTest, WhatTheLeaderDoesNotAllowIsNotDone) {
  const Index before = cluster.replica("n1").report().last_index;
  const WriteResult refused = Write("n2", "bob", "b");
  EXPECT_EQ(refused.fate, Fate::kNotDone);
  EXPECT_TRUE(absl::IsPermissionDenied(refused.reason)) << refused.reason;
  EXPECT_EQ(cluster.replica("n1").report().last_index, before);
  EXPECT_THAT(guard.fates, ElementsAre("not alice"));
}

// Goal: what came in at the leader itself was asked about by its own services.
TEST_F(ForwardClusterTest, ItsOwnClientsAreNotAskedAboutAgain) {
  EXPECT_EQ(Write("n1", "bob", "b").fate, Fate::kApplied);
  EXPECT_THAT(guard.asked, IsEmpty());
}

TEST_F(ForwardClusterTest, TheLeaderAsksAboutChangesToo) {
  EXPECT_TRUE(absl::IsPermissionDenied(
      Change("n2", {.kind = AdminRequest::Kind::kRemoveMember, .name = "n3", .subject = "bob"})));
  EXPECT_EQ(cluster.replica("n1").View().members.size(), 3u);
  EXPECT_TRUE(
      Change("n2", {.kind = AdminRequest::Kind::kRemoveMember, .name = "n3", .subject = "root"})
          .ok());
  EXPECT_THAT(guard.asked, ElementsAre("n2: bob changes n3", "n2: root changes n3"));
  EXPECT_THAT(guard.fates, ElementsAre("not root", "done"));
}

// Goal: what a node wants for itself is asked of no rules; a client without a name is.
TEST_F(ForwardClusterTest, OnlyWhatNodesWantThemselvesIsNobodys) {
  EXPECT_TRUE(absl::IsPermissionDenied(
      Change("n2", {.kind = AdminRequest::Kind::kRemoveMember, .name = "n3"})));
  guard.asked.clear();
  EXPECT_TRUE(
      Change("n2", {.kind = AdminRequest::Kind::kRemoveMember, .name = "n3", .automatic = true})
          .ok());
  // To leave.
  EXPECT_TRUE(Change("n2", {.kind = AdminRequest::Kind::kRemoveMember, .name = "n2"}).ok());
  EXPECT_THAT(guard.asked, IsEmpty());
}

// Goal: a forwarded write whose connection broke is never sent again, and is not told as failed.
TEST_F(ForwardClusterTest, ABrokenConnectionLeavesAForwardedWriteUnknown) {
  cluster.life("n1").disk_stalls = true;
  cluster.Cut("n1", "n2");
  const WriteOutcome write = cluster.life("n2").Set("k");
  cluster.Settle();
  EXPECT_FALSE(write->has_value());
  cluster.Break("n1", "n2");
  ASSERT_TRUE(write->has_value());
  EXPECT_EQ((*write)->fate, Fate::kUnknown);
  cluster.life("n1").disk_stalls = false;
  cluster.Heal();
  cluster.Run(seconds(2));
  EXPECT_FALSE(Holds("n1", "k")) << "sent twice";
}

// Goal: what no node could apply does not get into the log, whoever passes it on.
TEST_F(ForwardClusterTest, ACommandThatTheLeaderDoesNotKnowIsRefused) {
  Forward forward{.id = ForwardId(1), .wait = seconds(5)};
  std::get<ForwardedWrites>(forward.body).writes = {
      {std::make_shared<const std::string>("\x99 of a newer version"), "somebody"}};
  const Index before = cluster.replica("n1").report().last_index;
  cluster.replica("n1").OnForward(cluster.replica("n2").id(), ConnectionId(1), std::move(forward));
  cluster.Settle();
  EXPECT_EQ(cluster.replica("n1").report().last_index, before);
  EXPECT_FALSE(cluster.life("n1").fatal.has_value());
  EXPECT_EQ(Write("n2", "alice", "k").fate, Fate::kApplied);
}

// Goal: how long another node says that it waits is not added to the clock unlooked at: past what
//       that can count, a change would be given up before it has begun.
TEST_F(ForwardClusterTest, AForwardThatWouldWaitForEverIsServed) {
  Forward forward{.id = ForwardId(1), .wait = Duration::max()};
  forward.body =
      AdminRequest{.kind = AdminRequest::Kind::kRemoveMember, .name = "n3", .subject = "root"};
  cluster.Isolate("n1");
  cluster.replica("n1").OnForward(cluster.replica("n2").id(), ConnectionId(1), std::move(forward));
  cluster.Run(milliseconds(200));
  cluster.Heal();
  cluster.RunUntil([&] { return cluster.replica("n1").View().members.size() == 2; }, "it is done");
}

}  // namespace
}  // namespace mokv::replica
