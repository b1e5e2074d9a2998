// KvService as a client sees it: Set and Delete, and what is told of a write's fate.
#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "service/testing/served_kv.h"

namespace mokv::service {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Applied;
using testing::FateOf;
using testing::NotDone;
using testing::PatientClient;
using testing::ResponseOf;
using testing::Served;
using testing::ServedKv;
using testing::UnknownFate;

// The one operation of the last command that came to the door.
template <typename Operation>
Operation LastOf(const ServedKv& node) {
  const auto asked = node.writes.asked();
  EXPECT_FALSE(asked.empty());
  const store::Transaction& operations = asked.back().command.operations;
  EXPECT_EQ(operations.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<Operation>(operations.front()));
  return std::get<Operation>(operations.front());
}

// --- What the door gets

TEST(KvService, SetBecomesACommandOnBehalfOfItsClient) {
  ServedKv node({.subject = "alice"});
  node.writes.AnswerAtOnce(Applied({.revision = Revision(1)}));
  const std::string value("any bytes: \xff\x00!", 14);
  ResponseOf<api::SetResponse>(node.Set("k", value));
  EXPECT_EQ(node.writes.asked().at(0).subject, "alice");
  const auto set = LastOf<store::Set>(node);
  EXPECT_EQ(set.key, "k");
  EXPECT_EQ(set.value, value);
  EXPECT_EQ(set.expected_revision, std::nullopt);
}

TEST(KvService, DeleteBecomesACommandOnBehalfOfItsClient) {
  ServedKv node({.subject = "alice"});
  node.writes.AnswerAtOnce(Applied({.revision = Revision(1)}));
  ResponseOf<api::DeleteResponse>(node.Delete("k"));
  EXPECT_EQ(node.writes.asked().at(0).subject, "alice");
  const auto erase = LastOf<store::Delete>(node);
  EXPECT_EQ(erase.key, "k");
  EXPECT_EQ(erase.expected_revision, std::nullopt);
}

// Zero is a condition, too: that the key does not exist.
TEST(KvService, WritesCarryTheirCondition) {
  ServedKv node;
  node.writes.AnswerAtOnce(Applied({.revision = Revision(1)}));
  api::SetRequest set;
  set.set_key("k");
  api::DeleteRequest erase;
  erase.set_key("k");
  for (const uint64_t expected : {uint64_t{0}, uint64_t{7}}) {
    set.set_expected_revision(expected);
    ResponseOf<api::SetResponse>(node.served.Call("/api.KV/Set", set));
    EXPECT_EQ(LastOf<store::Set>(node).expected_revision, Revision(expected));
    erase.set_expected_revision(expected);
    ResponseOf<api::DeleteResponse>(node.served.Call("/api.KV/Delete", erase));
    EXPECT_EQ(LastOf<store::Delete>(node).expected_revision, Revision(expected));
  }
}

TEST(KvService, WritesCarryTheirSession) {
  ServedKv node({.subject = "alice"});
  node.writes.AnswerAtOnce(Applied({.revision = Revision(1)}));
  api::SetRequest set;
  set.set_key("k");
  set.mutable_context()->set_session(9);
  set.mutable_context()->set_sequence(4);
  set.mutable_context()->set_lowest_unanswered(3);
  ResponseOf<api::SetResponse>(node.served.Call("/api.KV/Set", set));
  api::DeleteRequest erase;
  erase.set_key("k");
  *erase.mutable_context() = set.context();
  ResponseOf<api::DeleteResponse>(node.served.Call("/api.KV/Delete", erase));
  for (const auto& asked : node.writes.asked()) {
    ASSERT_TRUE(asked.command.session.has_value());
    EXPECT_EQ(asked.command.session->session, SessionId(9));
    EXPECT_EQ(asked.command.session->sequence, 4u);
    EXPECT_EQ(asked.command.session->lowest_unanswered, 3u);
    EXPECT_EQ(asked.command.session->subject, "alice");
  }
  ResponseOf<api::SetResponse>(node.Set("k", ""));
  EXPECT_FALSE(node.writes.asked().back().command.session.has_value());
}

// A message object is used for all calls of a thread: nothing of the last one may be left.
TEST(KvService, WritesKeepNothingOfTheCallBefore) {
  ServedKv node;
  node.writes.AnswerAtOnce(Applied({.revision = Revision(1)}));
  api::SetRequest full;
  full.set_key("full");
  full.set_value(std::string(1000, 'x'));
  full.set_expected_revision(3);
  ResponseOf<api::SetResponse>(node.served.Call("/api.KV/Set", full));
  ResponseOf<api::SetResponse>(node.Set("k", ""));
  const auto set = LastOf<store::Set>(node);
  EXPECT_EQ(set.key, "k");
  EXPECT_EQ(set.value, "");
  EXPECT_EQ(set.expected_revision, std::nullopt);
}

TEST(KvService, WritesWaitForAsLongAsTheirDeadlineAllows) {
  ServedKv node;
  PatientClient client(node.served);
  api::SetRequest set;
  set.set_key("k");
  api::DeleteRequest erase;
  erase.set_key("k");
  const MonotonicTime now = node.clock.Now();
  const std::vector<std::pair<std::string, Duration>> cases = {
      {"", seconds(5)}, {"2S", milliseconds(1'800)}, {"1H", seconds(5)}};
  size_t count = 0;
  for (const auto& [timeout, expected] : cases) {
    client.Begin("/api.KV/Set", set, timeout);
    EXPECT_EQ(node.writes.WaitForAsked(++count).back().give_up_at - now, expected) << timeout;
    client.Begin("/api.KV/Delete", erase, timeout);
    EXPECT_EQ(node.writes.WaitForAsked(++count).back().give_up_at - now, expected) << timeout;
  }
}

// --- What never comes to the door

TEST(KvService, RefusesValuesOverTheLimit) {
  ServedKv node({.service = {.value_bytes_max = 10}});
  node.writes.AnswerAtOnce(Applied({.revision = Revision(1)}));
  ResponseOf<api::SetResponse>(node.Set("k", std::string(10, 'x')));
  const rpc::CallResult result = node.Set("k", std::string(11, 'x'));
  EXPECT_EQ(result.status, absl::InvalidArgumentError(
                               "value of 11 bytes is over the limit of 10 (max-value-bytes)"));
  EXPECT_EQ(FateOf(result), "not-done");
  EXPECT_EQ(node.writes.asked().size(), 1u);
}

TEST(KvService, RefusesWhatIsNoWriteOfASession) {
  ServedKv node;
  node.writes.AnswerAtOnce(Applied({.revision = Revision(1)}));
  api::SetRequest set;
  set.set_key("k");
  api::DeleteRequest erase;
  erase.set_key("k");
  // No session's number.
  set.mutable_context()->set_session(0);
  erase.mutable_context()->set_session(0);
  ResponseOf<api::SetResponse>(node.served.Call("/api.KV/Set", set));
  ResponseOf<api::DeleteResponse>(node.served.Call("/api.KV/Delete", erase));

  const auto expect_refused = [&](const absl::Status& status) {
    for (const rpc::CallResult& result :
         {node.served.Call("/api.KV/Set", set), node.served.Call("/api.KV/Delete", erase)}) {
      EXPECT_EQ(result.status, status);
      EXPECT_EQ(FateOf(result), "not-done");
    }
  };
  set.mutable_context()->set_sequence(1);
  erase.mutable_context()->set_sequence(1);
  expect_refused(absl::FailedPreconditionError("session 0 is unknown or has expired"));
  for (api::WriteContext* context : {set.mutable_context(), erase.mutable_context()}) {
    context->set_session(9);
    context->set_sequence(0);
  }
  expect_refused(absl::InvalidArgumentError("sequence 0 of session 9; sequences begin at 1"));
  EXPECT_EQ(node.writes.asked().size(), 2u);
}

// --- What the client is told

TEST(KvService, WritesThatTheirSessionDoesNotLetPassWereNotDone) {
  using Outcome = machine::Result::Outcome;
  ServedKv node;
  api::SetRequest set;
  set.set_key("k");
  set.mutable_context()->set_session(9);
  set.mutable_context()->set_sequence(4);
  const auto expect_refused = [&](Outcome outcome, const absl::Status& status) {
    node.writes.AnswerAtOnce(Applied({.outcome = outcome}));
    const rpc::CallResult result = node.served.Call("/api.KV/Set", set);
    EXPECT_EQ(result.status, status);
    EXPECT_EQ(FateOf(result), "not-done");
  };
  expect_refused(Outcome::kNoSession,
                 absl::FailedPreconditionError("session 9 is unknown or has expired"));
  expect_refused(Outcome::kAnswerGone, absl::FailedPreconditionError(
                                           "sequence 4 of session 9 is below lowest_unanswered: "
                                           "its answer is not kept"));
  expect_refused(
      Outcome::kTooManyUnanswered,
      absl::ResourceExhaustedError("session 9 has 1024 unanswered writes, which is the limit"));
}

TEST(KvService, AppliedWritesTellTheirRevision) {
  ServedKv node;
  node.writes.AnswerAtOnce(Applied({.revision = Revision(12), .deleted = 1}));
  const rpc::CallResult result = node.Set("k", "v");
  const auto set = ResponseOf<api::SetResponse>(result);
  EXPECT_TRUE(set.ok());
  EXPECT_EQ(set.revision(), 12u);
  EXPECT_EQ(FateOf(result), "none");
  const auto erased = ResponseOf<api::DeleteResponse>(node.Delete("k"));
  EXPECT_TRUE(erased.ok());
  EXPECT_EQ(erased.revision(), 12u);
  EXPECT_EQ(erased.deleted(), 1u);

  node.writes.AnswerAtOnce(Applied({.revision = Revision(13), .deleted = 0}));
  const auto nothing = ResponseOf<api::DeleteResponse>(node.Delete("k"));
  EXPECT_TRUE(nothing.ok());
  EXPECT_EQ(nothing.revision(), 13u);
  EXPECT_EQ(nothing.deleted(), 0u);
}

TEST(KvService, WritesAreAnsweredWhenTheirDoorAnswers) {
  ServedKv node;
  auto set = node.BeginSet("a", "v");
  auto erase = node.BeginDelete("b");
  node.writes.WaitForAsked(2);
  EXPECT_NE(set.wait_for(seconds(0)), std::future_status::ready);
  node.writes.Answer(Applied({.revision = Revision(3), .deleted = 1}));
  EXPECT_EQ(ResponseOf<api::SetResponse>(Served::Result(std::move(set))).revision(), 3u);
  EXPECT_EQ(ResponseOf<api::DeleteResponse>(Served::Result(std::move(erase))).deleted(), 1u);
}

TEST(KvService, FailedConditionsTellWhatWasFound) {
  ServedKv node;
  api::SetRequest set;
  set.set_key("k");
  api::DeleteRequest erase;
  erase.set_key("k");
  struct Case {
    uint64_t expected;
    uint64_t found;
    std::string text;
  };
  for (const Case& one :
       {Case{3, 7, "revision of key k is 7, not 3"}, Case{0, 7, "revision of key k is 7, not 0"},
        Case{3, 0, "key k does not exist, so its revision is 0, not 3"}}) {
    node.writes.AnswerAtOnce(Applied({.outcome = machine::Result::Outcome::kConditionFailed,
                                      .revision = Revision(9),
                                      .found_revision = Revision(one.found)}));
    set.set_expected_revision(one.expected);
    erase.set_expected_revision(one.expected);
    for (const rpc::CallResult& result :
         {node.served.Call("/api.KV/Set", set), node.served.Call("/api.KV/Delete", erase)}) {
      EXPECT_EQ(result.status, absl::FailedPreconditionError(one.text));
      EXPECT_EQ(FateOf(result), "not-done");
    }
  }
}

TEST(KvService, FailedWritesTellTheirFate) {
  ServedKv node;
  const auto expect = [&](const absl::Status& status, const std::string& fate) {
    for (const rpc::CallResult& result : {node.Set("k", "v"), node.Delete("k")}) {
      EXPECT_EQ(result.status, status);
      EXPECT_EQ(FateOf(result), fate);
      EXPECT_EQ(result.message, "");
    }
  };
  node.writes.AnswerAtOnce(NotDone(absl::UnavailableError("no leader")));
  expect(absl::UnavailableError("no leader; nothing was written"), "not-done");
  node.writes.AnswerAtOnce(NotDone(absl::ResourceExhaustedError("out of memory")));
  expect(absl::ResourceExhaustedError("out of memory; nothing was written"), "not-done");
  node.writes.AnswerAtOnce(UnknownFate(absl::UnavailableError("the connection broke")));
  expect(absl::UnavailableError("the connection broke; outcome unknown"), "unknown");
}

// Goal:   a client whose deadline passes while its write is under way must not take it for failed.
// Method: the door has the write and says nothing; the server's clock passes the deadline.
TEST(KvService, WritesWhoseDeadlinePassesAreOfUnknownFate) {
  ServedKv node;
  PatientClient client(node.served);
  api::SetRequest set;
  set.set_key("k");
  api::DeleteRequest erase;
  erase.set_key("k");
  const uint32_t streams[] = {client.Begin("/api.KV/Set", set, "50m"),
                              client.Begin("/api.KV/Delete", erase, "50m")};
  node.writes.WaitForAsked(2);
  node.clock.Move(seconds(1));
  for (const uint32_t stream : streams) {
    const rpc::RawAnswer answer = client.Wait(stream);
    EXPECT_EQ(answer.grpc_status(), "4") << "DEADLINE_EXCEEDED";
    const auto header = [&](const std::string& name) {
      const auto found = answer.headers.find(name);
      return found == answer.headers.end() ? "none" : found->second;
    };
    EXPECT_EQ(header("grpc-message"), "deadline exceeded; outcome unknown");
    EXPECT_EQ(header("mokv-fate"), "unknown");
  }
  node.writes.Answer(Applied({.revision = Revision(1)}));  // Nobody hears it.
}

TEST(KvService, ReadsWhoseDeadlinePassesSayNothingOfAFate) {
  ServedKv node;
  node.reads.SayNotNow();
  PatientClient client(node.served);
  api::GetRequest get;
  get.set_key("k");
  const uint32_t streams[] = {client.Begin("/api.KV/Get", get, "50m"),
                              client.Begin("/api.KV/List", api::ListRequest(), "50m")};
  node.reads.WaitForWaiting(2);
  node.clock.Move(seconds(1));
  for (const uint32_t stream : streams) {
    const rpc::RawAnswer answer = client.Wait(stream);
    EXPECT_EQ(answer.grpc_status(), "4") << "DEADLINE_EXCEEDED";
    EXPECT_FALSE(answer.headers.contains("mokv-fate"));
  }
  node.reads.Answer(absl::OkStatus());
}

}  // namespace
}  // namespace mokv::service
