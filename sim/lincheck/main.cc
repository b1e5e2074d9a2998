// lincheck FILE: judges a history. Exit status 0: linearizable; 1: not; 2: bad input, or gave up.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "base/status.h"
#include "sim/lincheck/checker.h"

int main(int argc, char** argv) {
  using namespace mokv::lincheck;
  const std::string argument = argc == 2 ? argv[1] : "";
  if (argc != 2 || argument == "--help") {
    fmt::print(argument == "--help" ? stdout : stderr,
               "usage: lincheck FILE   (JSON lines; - reads standard input)\n");
    return argument == "--help" ? 0 : 2;
  }
  std::ifstream file(argument);
  std::istream& in = argument == "-" ? std::cin : file;
  if (argument != "-" && (!file.is_open() || std::filesystem::is_directory(argument))) {
    fmt::print(stderr, "lincheck: cannot read {}\n", argument);
    return 2;
  }
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto history = ParseHistory(text);
  if (!history.ok()) {
    fmt::print(stderr, "lincheck: {}: {}\n", argument, mokv::MessageOf(history.status()));
    return 2;
  }
  const Verdict verdict = Check(*history);
  switch (verdict.answer) {
    case Answer::kLinearizable:
      fmt::print("linearizable: {} operations\n", history->size());
      return 0;
    case Answer::kGaveUp:
      fmt::print(stderr, "lincheck: gave up on key {:?}: too many possibilities\n", verdict.key);
      return 2;
    case Answer::kNotLinearizable:
      break;
  }
  fmt::print("not linearizable: key {:?}; no order explains these {} operations:\n", verdict.key,
             verdict.window.size());
  for (const Operation& operation : verdict.window) fmt::print("  {}\n", ToString(operation));
  return 1;
}
