#include "cli/ctl_access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace mokv {
namespace {

using testing::HasSubstr;

// There is no node to be asked.
const CtlConnection kNowhere = {.insecure = true};

// Goal: a question that no message can carry is refused in one line, before a node is asked.
TEST(AccessCheck, AsksNodesAboutTextAlone) {
  const std::pair<AccessQuestion, const char*> questions[] = {
      {{"al\xffice", "k", "consume"}, R"(SUBJECT "al\xffice" is not UTF-8)"},
      {{"alice", "\xc3", "consume"}, R"(OBJECT "\xc3" is not UTF-8)"},
      {{"alice", "k", "\x80"}, R"(ACTION "\x80" is not UTF-8)"},
  };
  for (const auto& [question, message] : questions) {
    testing::internal::CaptureStderr();
    const int status = CtlAclCheckNode(kNowhere, CtlFormat::kText, question);
    const std::string error = testing::internal::GetCapturedStderr();
    EXPECT_EQ(status, kCtlUsage) << error;
    EXPECT_THAT(error, HasSubstr(message));
    EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << error;
  }
}

TEST(AccessCheck, ANodeThatCannotBeAskedDeniesNothing) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(CtlAclCheckNode(kNowhere, CtlFormat::kText, {"jörg", "k", "consume"}), kCtlUnreachable);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("no endpoint given"));
}

}  // namespace
}  // namespace mokv
