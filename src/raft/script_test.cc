// Every script of testdata/, as a test of its own. MOKV_RECORD=1 writes down what is printed now;
// read the difference before you keep it: a recording proves nothing, its expectations do.
#include "raft/testing/script.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace mokv::raft::testing {
namespace {

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::string> ScriptNames() {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(MOKV_RAFT_TESTDATA)) {
    if (file.path().extension() == ".txt") names.push_back(file.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Scripts : public ::testing::TestWithParam<std::string> {};

TEST_P(Scripts, PrintWhatTheyMust) {
  const std::filesystem::path path =
      std::filesystem::path(MOKV_RAFT_TESTDATA) / (GetParam() + ".txt");
  const std::string recorded = ReadFile(path);
  const ScriptResult result = RunScript(recorded);
  EXPECT_EQ(recorded.rfind("# ", 0), 0U) << "a script begins with what must hold";
  EXPECT_NE(recorded.find("# Source: "), std::string::npos) << "and says where that is said";
  EXPECT_GT(result.expectations, 0) << "a script must be able to fail by itself";
  EXPECT_EQ(result.failures, "");
  if (std::getenv("MOKV_RECORD") != nullptr) {
    std::ofstream(path) << result.text;
    return;
  }
  EXPECT_EQ(result.text, recorded);
}

INSTANTIATE_TEST_SUITE_P(Raft, Scripts, ::testing::ValuesIn(ScriptNames()), [](const auto& test) {
  std::string name = test.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
  return name;
});

TEST(ScriptFiles, AreAtLeastFifty) { EXPECT_GE(ScriptNames().size(), 50U); }

}  // namespace
}  // namespace mokv::raft::testing
