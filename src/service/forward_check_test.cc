#include "service/forward_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/testing/scratch_directory.h"
#include "service/testing/policy.h"

namespace mokv::service {
namespace {

using replica::WriteResult;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::Policy;
using ::testing::SizeIs;

// The leader's question about what node-2 passes on, and what the audit log hears of it.
class ForwardCheckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = telemetry::AuditLog::Open({.path = directory_.PathOf("audit.log")});
    ASSERT_TRUE(opened.ok()) << opened.status();
    audit_ = *std::move(opened);
  }

  absl::Status CheckWrite(std::string_view subject, store::Transaction operations) {
    machine::Command command;
    command.operations = std::move(operations);
    told_ = nullptr;
    return check_.CheckWrite("node-2", subject, command, told_);
  }
  // The lines that there are by now.
  std::vector<nlohmann::json> Audited() {
    audit_->DrainOnce(std::chrono::seconds(0));
    std::istringstream text(*PosixFileSystem().ReadFile(directory_.PathOf("audit.log")));
    std::vector<nlohmann::json> lines;
    for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }
  static WriteResult Applied(machine::Result::Outcome outcome) {
    WriteResult result;
    result.fate = WriteResult::Fate::kApplied;
    result.applied.outcome = outcome;
    return result;
  }

  ScratchDirectory directory_;
  auth::Access access_{Policy({"alice, a*, produce", "alice, a*, consume", "root, cluster, admin"}),
                       1};
  Permission permission_{access_, {.object_is_any = false, .audit = AuditScope::kWrites}};
  std::unique_ptr<telemetry::AuditLog> audit_;
  ForwardCheck check_{permission_, nullptr};
  replica::ForwardGuard::WriteTold told_;
};

TEST_F(ForwardCheckTest, AsksAboutEveryOperation) {
  EXPECT_TRUE(CheckWrite("alice", {store::Set{"a1", "v"}, store::Delete{"a2"}}).ok());
  EXPECT_TRUE(
      absl::IsPermissionDenied(CheckWrite("alice", {store::Set{"a1", "v"}, store::Delete{"b"}})));
  const absl::Status status = CheckWrite("bob", {store::Set{"a1", "v"}});
  EXPECT_TRUE(absl::IsPermissionDenied(status));
  EXPECT_EQ(status.message(), "bob not permitted to produce to a1");
}

TEST_F(ForwardCheckTest, ACommandWithoutOperationsNeedsNoPermission) {
  EXPECT_TRUE(CheckWrite("bob", {}).ok());
}

// Goal: rights that were lost since the start are not there.
TEST_F(ForwardCheckTest, AsksTheRulesInForce) {
  access_.Replace(Policy({"bob, *, produce"}));
  EXPECT_FALSE(CheckWrite("alice", {store::Set{"a1", "v"}}).ok());
  EXPECT_TRUE(CheckWrite("bob", {store::Set{"a1", "v"}}).ok());
}

TEST_F(ForwardCheckTest, WithoutAnAuditLogNobodyIsTold) {
  EXPECT_TRUE(CheckWrite("alice", {store::Set{"a1", "v"}}).ok());
  EXPECT_TRUE(told_ == nullptr);
}

TEST_F(ForwardCheckTest, TheAuditLogHearsOfAWriteOnceItsFateIsKnown) {
  ForwardCheck check(permission_, audit_.get());
  machine::Command command;
  command.operations = {store::Set{"a1", "v"}, store::Delete{"a2"}};
  ASSERT_TRUE(check.CheckWrite("node-2", "alice", command, told_).ok());
  EXPECT_THAT(Audited(), IsEmpty());
  told_(Applied(machine::Result::Outcome::kApplied));
  const auto lines = Audited();
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_EQ(lines[0].at("forwarded_by"), "node-2");
  EXPECT_EQ(lines[0].at("subject"), "alice");
  EXPECT_EQ(lines[0].at("method"), "/api.KV/Set");
  EXPECT_EQ(lines[0].at("object"), "a1");
  EXPECT_EQ(lines[0].at("decision"), "allow");
  EXPECT_EQ(lines[0].at("rule"), "p, alice, a*, produce");
  EXPECT_EQ(lines[0].at("status"), "OK");
  EXPECT_EQ(lines[1].at("method"), "/api.KV/Delete");
  EXPECT_EQ(lines[1].at("object"), "a2");
}

TEST_F(ForwardCheckTest, TheAuditLogHearsWhatTheClientHears) {
  using Outcome = machine::Result::Outcome;
  ForwardCheck check(permission_, audit_.get());
  machine::Command command;
  command.operations = {store::Set{"a1", "v"}};
  const std::vector<std::pair<Outcome, std::string>> answers = {
      {Outcome::kConditionFailed, "FAILED_PRECONDITION"},
      {Outcome::kTooManyUnanswered, "RESOURCE_EXHAUSTED"}};
  for (const auto& [outcome, status] : answers) {
    ASSERT_TRUE(check.CheckWrite("node-2", "alice", command, told_).ok());
    told_(Applied(outcome));
    EXPECT_EQ(Audited().back().at("status"), status);
  }
}

TEST_F(ForwardCheckTest, TheAuditLogHearsOfADenial) {
  ForwardCheck check(permission_, audit_.get());
  machine::Command command;
  command.operations = {store::Set{"b", "v"}};
  WriteResult refused;
  refused.reason = check.CheckWrite("node-2", "alice", command, told_);
  refused.fate = WriteResult::Fate::kNotDone;
  told_(refused);
  const auto lines = Audited();
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0].at("decision"), "deny");
  EXPECT_EQ(lines[0].at("status"), "PERMISSION_DENIED");
}

TEST_F(ForwardCheckTest, ChangesOfTheClusterNeedAdmin) {
  ForwardCheck check(permission_, audit_.get());
  const auto ask = [&](std::string subject) {
    replica::ForwardGuard::ChangeTold told;
    replica::AdminRequest request{.kind = replica::AdminRequest::Kind::kTransfer};
    request.subject = std::move(subject);
    const absl::Status status = check.CheckChange("node-2", request, told);
    told(status);
    return status;
  };
  EXPECT_TRUE(ask("root").ok());
  EXPECT_TRUE(absl::IsPermissionDenied(ask("alice")));
  const auto lines = Audited();
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_EQ(lines[0].at("method"), "/api.Cluster/TransferLeadership");
  EXPECT_EQ(lines[0].at("object"), kClusterObject);
  EXPECT_EQ(lines[0].at("decision"), "allow");
  EXPECT_EQ(lines[1].at("decision"), "deny");
}

}  // namespace
}  // namespace mokv::service
