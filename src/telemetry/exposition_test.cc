#include "telemetry/exposition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mokv::telemetry {
namespace {

using ::testing::HasSubstr;

std::string Page(MetricsPage::Callback callback) {
  MetricsPage page;
  page.Register(std::move(callback));
  return page.Render();
}

TEST(MetricsPage, IsEmptyWithoutCallbacks) { EXPECT_EQ(MetricsPage().Render(), ""); }

TEST(MetricsPage, WritesEachKind) {
  const std::string text = Page([](MetricsWriter& writer) {
    writer.Gauge("mokv_keys", "Keys in the store.", 12);
    writer.Counter("mokv_fsyncs_total", "Syncs of the log.", 123456789);
    writer.Info("mokv_build_info", "What runs.", {{"version", "0.1.0"}});
  });
  EXPECT_EQ(text,
            "# HELP mokv_build_info What runs.\n"
            "# TYPE mokv_build_info gauge\n"
            "mokv_build_info{version=\"0.1.0\"} 1\n"
            "# HELP mokv_fsyncs_total Syncs of the log.\n"
            "# TYPE mokv_fsyncs_total counter\n"
            "mokv_fsyncs_total 123456789\n"
            "# HELP mokv_keys Keys in the store.\n"
            "# TYPE mokv_keys gauge\n"
            "mokv_keys 12\n");
}

TEST(MetricsPage, WritesCumulativeHistogramsInSeconds) {
  LatencyHistogram histogram;
  histogram.Record(std::chrono::microseconds(1));
  histogram.Record(std::chrono::microseconds(2));
  histogram.Record(std::chrono::milliseconds(1500));
  histogram.Record(std::chrono::seconds(11));
  const std::string text = Page([&](MetricsWriter& writer) {
    writer.Histogram("mokv_fsync_duration_seconds", "Time of a sync.", histogram.Snapshot());
  });
  EXPECT_THAT(text, HasSubstr("# TYPE mokv_fsync_duration_seconds histogram\n"));
  EXPECT_THAT(text, HasSubstr("mokv_fsync_duration_seconds_count 4\n"));
  EXPECT_THAT(text, HasSubstr("mokv_fsync_duration_seconds_sum 12.500003"));
  EXPECT_THAT(text, HasSubstr("mokv_fsync_duration_seconds_bucket{le=\"1e-06\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("mokv_fsync_duration_seconds_bucket{le=\"2.5e-06\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("mokv_fsync_duration_seconds_bucket{le=\"1\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("mokv_fsync_duration_seconds_bucket{le=\"10\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("mokv_fsync_duration_seconds_bucket{le=\"+Inf\"} 4\n"));
}

TEST(MetricsPage, JoinsCallbacksThatShareAName) {
  MetricsPage page;
  for (const char* name : {"a", "b"}) {
    page.Register([name](MetricsWriter& writer) {
      writer.Gauge("mokv_connections", "Open connections.", 1, {{"thread", name}});
    });
  }
  EXPECT_EQ(page.Render(),
            "# HELP mokv_connections Open connections.\n"
            "# TYPE mokv_connections gauge\n"
            "mokv_connections{thread=\"a\"} 1\n"
            "mokv_connections{thread=\"b\"} 1\n");
}

// Subjects and peers are chosen by others.
TEST(MetricsPage, EscapesLabelValues) {
  const std::string text = Page([](MetricsWriter& writer) {
    writer.Gauge("mokv_odd", "Odd.", 1, {{"subject", "a\"b\\c\nd\xff"}});
  });
  EXPECT_THAT(text, HasSubstr("mokv_odd{subject=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\"} 1\n"));
}

TEST(MetricsWriterDeathTest, RefusesNamesAgainstTheRules) {
  const auto gauge = [](std::string_view name) {
    Page([name](MetricsWriter& writer) { writer.Gauge(name, "Help.", 1); });
  };
  EXPECT_DEATH(gauge("keys"), "IsMetricName");
  EXPECT_DEATH(gauge("mokv_Keys"), "IsMetricName");
  EXPECT_DEATH(gauge("mokv_keys_total"), "_total");
  EXPECT_DEATH(Page([](MetricsWriter& w) { w.Counter("mokv_calls", "Help.", 1); }), "_total");
  EXPECT_DEATH(Page([](MetricsWriter& w) { w.Histogram("mokv_time_ms", "Help.", {}); }),
               "_seconds");
  EXPECT_DEATH(Page([](MetricsWriter& w) {
                 w.Gauge("mokv_x", "Help.", 1, {{"le", "1"}});
               }),
               "IsLabelName");
}

TEST(MetricsWriterDeathTest, RefusesTwoMeaningsOfOneName) {
  EXPECT_DEATH(Page([](MetricsWriter& writer) {
                 writer.Gauge("mokv_keys", "Keys.", 1, {{"a", "1"}});
                 writer.Gauge("mokv_keys", "Something else.", 1, {{"a", "2"}});
               }),
               "family.help");
}

}  // namespace
}  // namespace mokv::telemetry
