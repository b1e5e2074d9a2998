#include "service/fate.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace mokv::service {
namespace {

using replica::WriteResult;

const rpc::Metadata kNotDone = {{"mokv-fate", "not-done"}};
const rpc::Metadata kUnknown = {{"mokv-fate", "unknown"}};

const absl::Status kNoLeader = absl::UnavailableError("no leader");
const absl::Status kFull = absl::ResourceExhaustedError("out of memory");
const absl::Status kDenied = absl::PermissionDeniedError("alice not permitted to produce to k");
const absl::Status kMissing = absl::NotFoundError("no member is called b");

TEST(Fate, IsTheSameToProgramsAndToPeople) {
  struct Case {
    std::string name;
    Failure failure;
    absl::Status status;
    rpc::Metadata trailers;
  };
  const std::vector<Case> cases = {
      {"refused before anything was begun", NotBegun(kFull), kFull, kNotDone},
      {"refused, and may pass", NotBegun(kNoLeader), kNoLeader, kNotDone},
      {"write not done", FailureOf({.fate = WriteResult::Fate::kNotDone, .reason = kNoLeader}),
       absl::UnavailableError("no leader; nothing was written"), kNotDone},
      {"write refused", FailureOf({.fate = WriteResult::Fate::kNotDone, .reason = kFull}),
       absl::ResourceExhaustedError("out of memory; nothing was written"), kNotDone},
      {"write not permitted", FailureOf({.fate = WriteResult::Fate::kNotDone, .reason = kDenied}),
       kDenied, kNotDone},
      {"write unknown", FailureOf({.fate = WriteResult::Fate::kUnknown, .reason = kNoLeader}),
       absl::UnavailableError("no leader; outcome unknown"), kUnknown},
      {"change not done", FailureOfChange(kNoLeader, false),
       absl::UnavailableError("no leader; nothing was changed"), kNotDone},
      {"change that makes no sense", FailureOfChange(kMissing, false), kMissing, kNotDone},
      {"change unknown", FailureOfChange(kNoLeader, true),
       absl::UnavailableError("no leader; outcome unknown"), kUnknown},
      {"change of any code unknown", FailureOfChange(kMissing, true),
       absl::NotFoundError("no member is called b; outcome unknown"), kUnknown},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(one.failure.status, one.status) << one.name;
    EXPECT_EQ(one.failure.trailers, one.trailers) << one.name;
  }
}

TEST(Fate, OfAChangeUnderWayAtItsDeadlineIsUnknown) {
  const rpc::DeadlineAnswer answer = UnknownAtDeadline();
  EXPECT_EQ(answer.message, "deadline exceeded; outcome unknown");
  EXPECT_EQ(rpc::Metadata({{std::string(answer.trailer_name), std::string(answer.trailer_value)}}),
            kUnknown);
}

TEST(FateDeathTest, IsOfFailuresOnly) {
  EXPECT_DEATH(NotBegun(absl::OkStatus()), "check failed");
  EXPECT_DEATH(FailureOf({.fate = WriteResult::Fate::kApplied}), "check failed");
  EXPECT_DEATH(FailureOfChange(absl::OkStatus(), false), "check failed");
  EXPECT_DEATH(FailureOfChange(absl::OkStatus(), true), "check failed");
}

}  // namespace
}  // namespace mokv::service
