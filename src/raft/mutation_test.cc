// Would our tests find bugs? Each deliberate mutation of the core (mutations/) must be noticed by a
// script. The simulator of sim/ goes much further; here the point is that every switch works and
// that something looks at it.
#include "raft/mutations/mutation.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "raft/testing/script.h"

namespace mokv::raft::testing {
namespace {

// In a process of its own, which a check may stop: true if it was stopped or `noticed` says so.
bool Notices(Mutation mutation, const std::function<bool()>& noticed) {
  const pid_t child = fork();
  if (child == 0) {
    active_mutation = mutation;
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(0);  // A check speaks as it stops.
    _exit(noticed() ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

std::vector<std::string> AllScripts() {
  std::vector<std::string> scripts;
  for (const auto& file : std::filesystem::directory_iterator(MOKV_RAFT_TESTDATA)) {
    if (file.path().extension() != ".txt") continue;
    std::stringstream text;
    text << std::ifstream(file.path()).rdbuf();
    scripts.push_back(text.str());
  }
  return scripts;
}

// Scripts number their nodes, so names and disks do not decide who is who there.
constexpr Mutation kNotInScripts[] = {Mutation::kInstanceIgnored};

template <typename Array>
bool IsIn(const Array& list, Mutation mutation) {
  return std::find(std::begin(list), std::end(list), mutation) != std::end(list);
}

class Mutations : public ::testing::TestWithParam<MutationInfo> {};

// By an expectation, an invariant or a check. That a script prints something else than it did says
// only that something has changed, perhaps the order of two messages.
TEST_P(Mutations, AreNoticedByAScript) {
  if (IsIn(kNotInScripts, GetParam().mutation)) GTEST_SKIP();
  static const std::vector<std::string> kScripts = AllScripts();
  EXPECT_TRUE(Notices(GetParam().mutation, [] {
    return std::any_of(kScripts.begin(), kScripts.end(), [](const std::string& script) {
      return !RunScript(script).failures.empty();
    });
  })) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(Raft, Mutations, ::testing::ValuesIn(kMutations),
                         [](const auto& test) { return std::string(test.param.name); });

// Otherwise the tests above would prove nothing.
TEST(NoMutation, IsNoticed) {
  EXPECT_FALSE(Notices(Mutation::kNone, [] {
    for (const std::string& script : AllScripts()) {
      const ScriptResult result = RunScript(script);
      if (!result.failures.empty() || result.text != script) return true;
    }
    return false;
  }));
}

}  // namespace
}  // namespace mokv::raft::testing
