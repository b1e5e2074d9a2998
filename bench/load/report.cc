#include "load/report.h"

#include <fmt/format.h>

#include <array>
#include <numeric>

#include "base/json.h"

namespace mokv::load {
namespace {

constexpr size_t kOk = 0;
constexpr size_t kNotFound = 5;

struct NamedFraction {
  const char* name;
  double fraction;
};
constexpr std::array<NamedFraction, 4> kPercentiles = {
    {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}}};

double Microseconds(uint64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1000; }

double ClientMicrosecondsPerCall(const Stats& stats) {
  return stats.measured() == 0 ? 0
                               : stats.cpu_seconds * 1e6 / static_cast<double>(stats.measured());
}

Histogram All(const Stats& stats) {
  Histogram all = stats.reads;
  all.Merge(stats.writes);
  return all;
}

std::string LatencyLine(const char* name, const Histogram& histogram) {
  if (histogram.count() == 0) return "";
  std::string line = fmt::format("{:<7}{:>12} calls   mean {:9.1f}", name, histogram.count(),
                                 histogram.Mean() / 1000);
  for (const NamedFraction& p : kPercentiles) {
    line += fmt::format("   {} {:9.1f}", p.name, Microseconds(histogram.Percentile(p.fraction)));
  }
  return line + fmt::format("   max {:9.1f} us\n", Microseconds(histogram.max()));
}

std::string LatencyJson(const Histogram& histogram) {
  std::string json = fmt::format(R"({{"count": {}, "mean_us": {:.3f})", histogram.count(),
                                 histogram.Mean() / 1000);
  for (const NamedFraction& p : kPercentiles) {
    json +=
        fmt::format(R"(, "{}_us": {:.3f})", p.name, Microseconds(histogram.Percentile(p.fraction)));
  }
  return json + fmt::format(R"(, "max_us": {:.3f}}})", Microseconds(histogram.max()));
}

}  // namespace

double Report::Seconds() const {
  return stats.last_ns > stats.first_ns ? static_cast<double>(stats.last_ns - stats.first_ns) * 1e-9
                                        : 0;
}

double Report::OperationsPerSecond() const {
  return Seconds() > 0 ? static_cast<double>(stats.measured()) / Seconds() : 0;
}

bool Report::AsExpected() const {
  for (size_t status = 0; status < stats.statuses.size(); ++status) {
    const bool expected = status == kOk || (status == kNotFound && options.allow_not_found);
    if (stats.statuses[status] > 0 && !expected) return false;
  }
  if (stats.missing > 0 && !options.allow_not_found) return false;
  const uint64_t failures =
      std::accumulate(stats.failures.begin(), stats.failures.end(), uint64_t{0});
  return failures == 0 && stats.mismatches == 0 && stats.first_error.empty() &&
         stats.measured() > 0;
}

std::string ReportText(const Report& report) {
  const Stats& stats = report.stats;
  std::string text = fmt::format("{:.0f} calls/s ({} in {:.2f} s), client CPU {:.2f} us a call\n",
                                 report.OperationsPerSecond(), stats.measured(), report.Seconds(),
                                 ClientMicrosecondsPerCall(stats));
  if (report.options.open_loop()) {
    text += fmt::format("open loop: {} calls/s were due, {}; seed {}\n", report.options.rate,
                        report.options.arrivals == Arrivals::kEven ? "evenly" : "at random",
                        report.options.seed);
  }
  text += LatencyLine("reads", stats.reads);
  text += LatencyLine("writes", stats.writes);
  text += LatencyLine("late", stats.sent_late);
  for (size_t status = 0; status < stats.statuses.size(); ++status) {
    if (stats.statuses[status] == 0) continue;
    text += fmt::format("{:<19}{}\n", GrpcStatusName(status), stats.statuses[status]);
  }
  for (size_t i = 0; i < stats.failures.size(); ++i) {
    if (stats.failures[i] == 0) continue;
    text += fmt::format("{:<19}{}\n", FailureName(static_cast<Failure>(i)), stats.failures[i]);
  }
  if (stats.missing > 0) text += fmt::format("{:<19}{}\n", "key not there", stats.missing);
  if (stats.mismatches > 0) text += fmt::format("{:<19}{}\n", "wrong answers", stats.mismatches);
  if (!stats.first_error.empty()) text += fmt::format("first error: {}\n", stats.first_error);
  return text;
}

std::string ReportJson(const Report& report) {
  const Stats& stats = report.stats;
  std::string statuses;
  for (size_t i = 0; i < stats.statuses.size(); ++i) {
    if (stats.statuses[i] == 0) continue;
    statuses += fmt::format(R"({}"{}": {})", statuses.empty() ? "" : ", ", GrpcStatusName(i),
                            stats.statuses[i]);
  }
  std::string failures;
  for (size_t i = 0; i < stats.failures.size(); ++i) {
    if (stats.failures[i] == 0) continue;
    failures += fmt::format(R"({}"{}": {})", failures.empty() ? "" : ", ",
                            FailureName(static_cast<Failure>(i)), stats.failures[i]);
  }
  return fmt::format(
      R"({{"calls_per_second": {:.1f}, "calls": {}, "calls_all_phases": {}, "seconds": {:.6f}, )"
      R"("client_cpu_us_per_call": {:.4f}, "all": {}, "reads": {}, "writes": {}, )"
      R"("asked_per_second": {:.1f}, "seed": {}, "sent_late": {}, )"
      R"("statuses": {{{}}}, "failures": {{{}}}, "missing": {}, "mismatches": {}, )"
      R"("first_error": {}, "as_expected": {}}})",
      report.OperationsPerSecond(), stats.measured(), stats.calls, report.Seconds(),
      ClientMicrosecondsPerCall(stats), LatencyJson(All(stats)), LatencyJson(stats.reads),
      LatencyJson(stats.writes), report.options.rate, report.options.seed,
      LatencyJson(stats.sent_late), statuses, failures, stats.missing, stats.mismatches,
      JsonString(stats.first_error), report.AsExpected());
}

}  // namespace mokv::load
