// SessionService as a client sees it.
#include "service/session_service.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "api/session.pb.h"
#include "service/testing/fake_doors.h"
#include "service/testing/served.h"
#include "service/testing/shared_clock.h"

namespace mokv::service {
namespace {

using Outcome = machine::Result::Outcome;
using testing::Applied;
using testing::FateOf;
using testing::NotDone;
using testing::ResponseOf;
using testing::UnknownFate;

struct ServedSessions {
  explicit ServedSessions(std::string subject = "alice")
      : served({.subject = std::move(subject), .clock = &clock}), service(writes) {
    service.Register(served.server());
    served.Start();
  }
  ~ServedSessions() { served.Stop(); }

  rpc::CallResult Open(uint64_t ttl_ms) {
    api::OpenRequest request;
    request.set_ttl_ms(ttl_ms);
    return served.Call("/api.Session/Open", request);
  }
  rpc::CallResult KeepAlive(uint64_t session) {
    api::KeepAliveRequest request;
    request.set_session(session);
    return served.Call("/api.Session/KeepAlive", request);
  }
  rpc::CallResult Close(uint64_t session) {
    api::CloseRequest request;
    request.set_session(session);
    return served.Call("/api.Session/Close", request);
  }
  // Of the last command.
  template <typename Control>
  Control Last() {
    return std::get<Control>(writes.asked().back().command.control);
  }

  testing::SharedClock clock;
  testing::Served served;
  testing::FakeWriteDoor writes;
  SessionService service;
};

TEST(SessionService, OpensASessionOfItsClient) {
  ServedSessions node("alice");
  node.writes.AnswerAtOnce(Applied({.session = SessionId(42)}));
  const auto opened = ResponseOf<api::OpenResponse>(node.Open(5000));
  EXPECT_EQ(opened.session(), 42u);
  EXPECT_EQ(opened.ttl_ms(), 5000u);
  EXPECT_EQ(node.Last<machine::OpenSession>().ttl_ms, 5000u);
  EXPECT_EQ(node.Last<machine::OpenSession>().subject, "alice");
  EXPECT_EQ(node.writes.asked().back().subject, "alice");
}

TEST(SessionService, OpensForAMinuteUnlessItIsToldOtherwise) {
  ServedSessions node;
  node.writes.AnswerAtOnce(Applied({.session = SessionId(42)}));
  EXPECT_EQ(ResponseOf<api::OpenResponse>(node.Open(0)).ttl_ms(), 60'000u);
  EXPECT_EQ(node.Last<machine::OpenSession>().ttl_ms, 60'000u);
}

TEST(SessionService, RefusesATimeToLiveOutOfBounds) {
  ServedSessions node;
  node.writes.AnswerAtOnce(Applied({.session = SessionId(42)}));
  for (const uint64_t good : {1000, 3'600'000}) EXPECT_TRUE(node.Open(good).status.ok()) << good;
  for (const uint64_t bad : {1, 999, 3'600'001}) {
    const rpc::CallResult result = node.Open(bad);
    EXPECT_EQ(result.status, absl::InvalidArgumentError(
                                 fmt::format("ttl_ms {} is not within 1000 and 3600000", bad)));
    EXPECT_EQ(FateOf(result), "not-done");
  }
  EXPECT_EQ(node.writes.asked().size(), 2u);
}

TEST(SessionService, SaysWhenThereAreTooMany) {
  ServedSessions node;
  node.writes.AnswerAtOnce(Applied({.outcome = Outcome::kTooManySessions}));
  EXPECT_EQ(node.Open(0).status,
            absl::ResourceExhaustedError("65536 sessions are open, which is the limit"));
}

TEST(SessionService, KeepsASessionAlive) {
  ServedSessions node;
  node.writes.AnswerAtOnce(Applied({.ttls_ms = {7000}}));
  EXPECT_EQ(ResponseOf<api::KeepAliveResponse>(node.KeepAlive(42)).ttl_ms(), 7000u);
  const auto asked = node.Last<machine::KeepAlive>();
  ASSERT_EQ(asked.sessions.size(), 1u);
  EXPECT_EQ(asked.sessions[0].session, SessionId(42));
  EXPECT_EQ(asked.sessions[0].subject, "alice");
}

TEST(SessionService, ClosesASession) {
  ServedSessions node;
  node.writes.AnswerAtOnce(Applied({}));
  ResponseOf<api::CloseResponse>(node.Close(42));
  EXPECT_EQ(node.Last<machine::CloseSession>().session, SessionId(42));
  EXPECT_EQ(node.Last<machine::CloseSession>().subject, "alice");
}

TEST(SessionService, SaysWhenThereIsNoSuchSession) {
  ServedSessions node;
  const absl::Status expected =
      absl::FailedPreconditionError("session 42 is unknown or has expired");
  node.writes.AnswerAtOnce(Applied({.ttls_ms = {0}}));
  EXPECT_EQ(node.KeepAlive(42).status, expected);
  node.writes.AnswerAtOnce(Applied({.outcome = Outcome::kNoSession}));
  EXPECT_EQ(node.Close(42).status, expected);
  const absl::Status none = absl::FailedPreconditionError("session 0 is unknown or has expired");
  EXPECT_EQ(node.KeepAlive(0).status, none);
  EXPECT_EQ(node.Close(0).status, none);
  EXPECT_EQ(node.writes.asked().size(), 2u);
}

TEST(SessionService, TellsTheFateOfWhatFailed) {
  ServedSessions node;
  node.writes.AnswerAtOnce(NotDone(absl::UnavailableError("no leader")));
  for (const rpc::CallResult& result : {node.Open(0), node.KeepAlive(1), node.Close(1)}) {
    EXPECT_EQ(result.status.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(FateOf(result), "not-done");
  }
  node.writes.AnswerAtOnce(UnknownFate(absl::UnavailableError("the connection broke")));
  for (const rpc::CallResult& result : {node.Open(0), node.KeepAlive(1), node.Close(1)}) {
    EXPECT_EQ(result.status.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(FateOf(result), "unknown");
  }
}

TEST(SessionService, RefusesWhatDoesNotParse) {
  ServedSessions node;
  for (const char* method : {"Open", "KeepAlive", "Close"}) {
    const rpc::CallResult result =
        node.served.Call(std::string("/api.Session/") + method, std::string("\xff"));
    EXPECT_EQ(result.status.code(), absl::StatusCode::kInvalidArgument) << method;
  }
}

}  // namespace
}  // namespace mokv::service
