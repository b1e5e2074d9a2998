// The store beside the other candidates for it and beside maps from std::string to std::string:
// time, memory, views and threads, as tables in Markdown. Exit status: 0 measured; 1 a measurement
// did not end well; 2 usage.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/status.h"
#include "bench/store/check.h"
#include "bench/store/child.h"
#include "bench/store/contenders.h"
#include "bench/store/key_set.h"
#include "bench/store/measure.h"
#include "bench/store/report.h"

namespace mokv::bench {
namespace {

struct Options {
  std::vector<std::string> sizes = {"100k", "1M"};
  std::vector<std::string> contenders{std::begin(kContenders), std::end(kContenders)};
  int rounds = 5;
  uint64_t seed = 1;
  KeyShape shape = KeyShape::kSequence;
  Timer::Kind clock = Timer::Kind::kWall;
  double thread_seconds = 1;
  bool memory_only = false;
  bool check_only = false;
};

Sample MeasureContender(std::string_view name, Job job, const Setup& setup) {
  if (name == kProduct) return Measure<ProductStore>(job, setup);
  if (name == kCowTree) return Measure<PathCopying<CowTree>>(job, setup);
  if (name == kArt) return Measure<PathCopying<Art>>(job, setup);
  if (name == kHashMap) return Measure<HashMap>(job, setup);
  MOKV_CHECK(name == kBtreeMap);
  return Measure<BtreeMap>(job, setup);
}

absl::Status MeasureOne(std::string_view contender, Job job, const Setup& setup, Results& results) {
  const absl::StatusOr<Sample> sample =
      InChild([&] { return MeasureContender(contender, job, setup); });
  if (!sample.ok()) {
    return MakeStatus(sample.status().code(), "{} with {} keys: {}", contender, setup.keys.size(),
                      MessageOf(sample.status()));
  }
  results.Add(setup.keys.size(), contender, *sample);
  return absl::OkStatus();
}

// The rounds of one size: within each, the contenders take turns at every job. Views of a small
// store are taken in the same rounds, so that the two are compared as of the same moment.
absl::Status MeasureSize(size_t size, const Options& options, Results& results) {
  const KeySet keys(size, options.shape, options.seed);
  const KeySet small_keys(kSmallSize, options.shape, options.seed);
  const auto setup_for = [&](const KeySet& set) {
    return Setup{.keys = set,
                 .clock = options.clock,
                 .seed = options.seed,
                 .thread_seconds = options.thread_seconds};
  };
  std::vector<Job> jobs = {Job::kViews, Job::kFill, Job::kSorted, Job::kBulk};
  if (options.memory_only) jobs = {Job::kMemory};
  for (int round = 1; round <= options.rounds; ++round) {
    for (const Job job : jobs) {
      for (const std::string& contender : options.contenders) {
        if (isatty(STDERR_FILENO) != 0) {
          fmt::print(stderr, "\r{} keys, round {} of {}: {:<12}", size, round, options.rounds,
                     contender);
        }
        const Setup setup = setup_for(job == Job::kViews ? small_keys : keys);
        MOKV_RETURN_IF_ERROR(MeasureOne(contender, job, setup, results));
      }
    }
  }
  if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\n");
  return absl::OkStatus();
}

// "100k" or "10M"; 0 when it is no such number.
size_t ParseSize(const std::string& text) {
  size_t end = 0;
  size_t size = 0;
  try {
    size = std::stoul(text, &end);
  } catch (const std::exception&) {
    return 0;
  }
  const std::string unit = text.substr(end);
  if (unit == "k") return size * 1000;
  if (unit == "M") return size * 1'000'000;
  return unit.empty() ? size : 0;
}

absl::Status Run(const Options& options) {
  // In a child, so that it leaves no memory in use.
  const auto check = [&] {
    CheckCandidates(options.seed);
    return Sample();
  };
  MOKV_RETURN_IF_ERROR(InChild(check).status());
  if (options.check_only) return absl::OkStatus();
  std::vector<size_t> sizes;
  for (const std::string& text : options.sizes) sizes.push_back(ParseSize(text));

  Results results;
  for (const size_t size : sizes) MOKV_RETURN_IF_ERROR(MeasureSize(size, options, results));
  fmt::print("{} rounds: median (least-most) ratio; {} keys; {}; seed {}.\n", options.rounds,
             options.shape == KeyShape::kSequence ? "sequence" : "random",
             options.clock == Timer::Kind::kWall ? "wall clock" : "processor time", options.seed);
  PrintTables(results, sizes, options.contenders);
  if (!options.memory_only) PrintTargets(results, sizes);
  return absl::OkStatus();
}

void AddOptions(CLI::App& app, Options& options) {
  const std::map<std::string, KeyShape> shapes = {{"sequence", KeyShape::kSequence},
                                                  {"random", KeyShape::kRandom}};
  const std::map<std::string, Timer::Kind> clocks = {{"wall", Timer::Kind::kWall},
                                                     {"cpu", Timer::Kind::kProcess}};
  const std::vector<std::string> contenders = options.contenders;
  app.add_option("--sizes", options.sizes, "Numbers of keys, as 100k or 10M")
      ->delimiter(',')
      ->check([](const std::string& text) {
        return ParseSize(text) < KeySet::kRangeItems ? "not a size of 100 or more: " + text : "";
      });
  app.add_option("--contenders", options.contenders)
      ->delimiter(',')
      ->check(CLI::IsMember(contenders));
  app.add_option("--rounds", options.rounds)->check(CLI::Range(1, 1000));
  app.add_option("--seed", options.seed);
  app.add_option("--keys", options.shape, "sequence (dense, a common prefix) or random")
      ->transform(CLI::CheckedTransformer(shapes));
  app.add_option("--clock", options.clock,
                 "wall, or cpu: processor time, for a machine that is not quiet")
      ->transform(CLI::CheckedTransformer(clocks));
  app.add_option("--seconds", options.thread_seconds, "For each measurement with threads");
  app.add_flag("--memory", options.memory_only, "Only the memory of inserted keys");
  app.add_flag("--check", options.check_only, "Only compare the candidates with std::map");
}

}  // namespace
}  // namespace mokv::bench

int main(int argc, char** argv) {
  CLI::App app("The store beside other structures", "store_bench");
  app.option_defaults()->always_capture_default();
  mokv::bench::Options options;
  mokv::bench::AddOptions(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = mokv::bench::Run(options);
  if (!status.ok()) {
    fmt::print(stderr, "store_bench: {}\n", mokv::MessageOf(status));
    return 1;
  }
  return 0;
}
