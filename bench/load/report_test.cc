#include "load/report.h"

#include <gtest/gtest.h>

#include <string>

namespace mokv::load {
namespace {

Report GoodReport() {
  Report report;
  report.stats.reads.Record(1000);
  report.stats.reads.Record(3000);
  report.stats.writes.Record(2000);
  report.stats.statuses[0] = 3;
  report.stats.calls = 5;
  report.stats.first_ns = 1'000'000'000;
  report.stats.last_ns = 3'000'000'000;
  report.stats.cpu_seconds = 6e-6;
  return report;
}

TEST(Report, CountsCallsOfTheWindow) {
  const Report report = GoodReport();
  EXPECT_DOUBLE_EQ(report.Seconds(), 2);
  EXPECT_DOUBLE_EQ(report.OperationsPerSecond(), 1.5);
  EXPECT_TRUE(report.AsExpected());
}

TEST(Report, AnythingElseIsNotAsExpected) {
  EXPECT_FALSE(Report().AsExpected()) << "nothing was measured";
  Report report = GoodReport();
  report.stats.statuses[14] = 1;
  EXPECT_FALSE(report.AsExpected());
  report = GoodReport();
  report.stats.failures[1] = 1;
  EXPECT_FALSE(report.AsExpected());
  report = GoodReport();
  report.stats.mismatches = 1;
  EXPECT_FALSE(report.AsExpected());
  report = GoodReport();
  report.stats.first_error = "x";
  EXPECT_FALSE(report.AsExpected());
}

TEST(Report, MissingKeysAreExpectedOnlyWhenAllowed) {
  Report not_found = GoodReport();
  not_found.stats.statuses[5] = 1;
  Report missing = GoodReport();
  missing.stats.missing = 1;
  for (Report* report : {&not_found, &missing}) {
    EXPECT_FALSE(report->AsExpected());
    report->options.allow_not_found = true;
    EXPECT_TRUE(report->AsExpected());
  }
}

TEST(Report, JsonHasTheFigures) {
  Report report = GoodReport();
  report.stats.failures[0] = 2;
  report.stats.first_error = "say \"no\"";
  EXPECT_EQ(
      ReportJson(report),
      R"({"calls_per_second": 1.5, "calls": 3, "calls_all_phases": 5, "seconds": 2.000000, )"
      R"("client_cpu_us_per_call": 2.0000, )"
      R"("all": {"count": 3, "mean_us": 2.000, "p50_us": 2.007, "p90_us": 3.000, "p99_us": 3.000, )"
      R"("p99.9_us": 3.000, "max_us": 3.000}, )"
      R"("reads": {"count": 2, "mean_us": 2.000, "p50_us": 1.003, "p90_us": 3.000, )"
      R"("p99_us": 3.000, "p99.9_us": 3.000, "max_us": 3.000}, )"
      R"("writes": {"count": 1, "mean_us": 2.000, "p50_us": 2.000, "p90_us": 2.000, )"
      R"("p99_us": 2.000, "p99.9_us": 2.000, "max_us": 2.000}, )"
      R"("asked_per_second": 0.0, "seed": 1, "sent_late": {"count": 0, "mean_us": 0.000, )"
      R"("p50_us": 0.000, "p90_us": 0.000, "p99_us": 0.000, "p99.9_us": 0.000, "max_us": 0.000}, )"
      R"("statuses": {"OK": 3}, "failures": {"connection lost": 2}, "missing": 0, )"
      R"("mismatches": 0, "first_error": "say \"no\"", "as_expected": false})");
}

TEST(Report, TextSaysHowAnOpenLoopWasDriven) {
  Report report = GoodReport();
  report.options.rate = 1.5;
  report.options.arrivals = Arrivals::kRandom;
  report.options.seed = 42;
  report.stats.sent_late.Record(1000);
  const std::string text = ReportText(report);
  for (const char* part : {"open loop: 1.5 calls/s were due, at random; seed 42", "\nlate "}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
}

TEST(Report, TextNamesWhatWentWrong) {
  Report report = GoodReport();
  report.stats.statuses[8] = 4;
  report.stats.failures[4] = 2;
  report.stats.first_error = "too slow";
  const std::string text = ReportText(report);
  for (const char* part : {"RESOURCE_EXHAUSTED 4", "no answer          2", "too slow"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
}

TEST(Stats, MergeTakesTheWidestWindow) {
  Stats stats, idle;
  Stats other = GoodReport().stats;
  stats.Merge(idle);
  stats.Merge(other);
  stats.Merge(idle);
  EXPECT_EQ(stats.first_ns, other.first_ns);
  EXPECT_EQ(stats.last_ns, other.last_ns);
  EXPECT_EQ(stats.measured(), 3u);
}

}  // namespace
}  // namespace mokv::load
