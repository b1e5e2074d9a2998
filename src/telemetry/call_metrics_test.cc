#include "telemetry/call_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mokv::telemetry {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(CallTable, CountsByMethodAndCode) {
  CallTable table(2);
  table.Record(1, absl::StatusCode::kNotFound, std::chrono::microseconds(20));
  table.Record(1, absl::StatusCode::kOk, std::chrono::microseconds(30));
  table.Record(1, absl::StatusCode::kOk, std::chrono::microseconds(30));
  EXPECT_EQ(table.Snapshot(0).latency.count(), 0U);
  EXPECT_EQ(table.Snapshot(1).by_code[0], 2U);
  EXPECT_EQ(table.Snapshot(1).by_code[5], 1U);
  EXPECT_EQ(table.Snapshot(1).latency.sum_ns, 80'000U);
}

TEST(CallTable, CountsStrangeCodesAsUnknown) {
  CallTable table(1);
  table.Record(0, static_cast<absl::StatusCode>(17), Duration(1));
  table.Record(0, static_cast<absl::StatusCode>(-1), Duration(1));
  EXPECT_EQ(table.Snapshot(0).by_code[static_cast<size_t>(absl::StatusCode::kUnknown)], 2U);
}

TEST(CallTableDeathTest, MethodOutOfRange) {
  CallTable table(1);
  EXPECT_DEATH(table.Record(1, absl::StatusCode::kOk, Duration(1)), "check failed");
}

TEST(WriteCallMetrics, AddsTheTablesOfAllThreads) {
  const std::vector<std::string> names = {"/api.KV/Get", "/api.KV/Set"};
  CallTable first(names.size());
  CallTable second(names.size());
  first.Record(0, absl::StatusCode::kOk, std::chrono::microseconds(20));
  second.Record(0, absl::StatusCode::kOk, std::chrono::microseconds(20));
  second.Record(0, absl::StatusCode::kPermissionDenied, std::chrono::milliseconds(2));
  const std::vector<const CallTable*> tables = {&first, &second};
  MetricsPage page;
  page.Register([&](MetricsWriter& writer) { WriteCallMetrics(writer, names, tables); });
  const std::string text = page.Render();
  EXPECT_THAT(text, HasSubstr("mokv_rpc_calls_total{method=\"/api.KV/Get\",code=\"OK\"} 2\n"));
  EXPECT_THAT(
      text,
      HasSubstr("mokv_rpc_calls_total{method=\"/api.KV/Get\",code=\"PERMISSION_DENIED\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("mokv_rpc_calls_total{method=\"/api.KV/Set\",code=\"OK\"} 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("ABORTED")));
  EXPECT_THAT(text, HasSubstr("mokv_rpc_call_duration_seconds_count{method=\"/api.KV/Get\"} 3\n"));
}

TEST(StatusCodeName, NamesAllOfGrpcsCodes) {
  EXPECT_EQ(StatusCodeName(absl::StatusCode::kOk), "OK");
  EXPECT_EQ(StatusCodeName(absl::StatusCode::kUnauthenticated), "UNAUTHENTICATED");
  EXPECT_EQ(StatusCodeName(static_cast<absl::StatusCode>(99)), "UNKNOWN");
}

}  // namespace
}  // namespace mokv::telemetry
