// Whole runs over real sockets against the fake server.
#include "load/run.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "api/kv.pb.h"
#include "base/mutex.h"
#include "base/status.h"
#include "load/fake_server.h"

namespace mokv::load {
namespace {

// Just enough of api.KV.
class FakeStore {
 public:
  FakeReply operator()(std::string_view path, std::string_view message) {
    if (path == "/api.KV/Set") {
      api::SetRequest request;
      EXPECT_TRUE(request.ParseFromArray(message.data(), static_cast<int>(message.size())));
      items_[request.key()] = request.value();
      api::SetResponse response;
      response.set_ok(true);
      return {.message = response.SerializeAsString()};
    }
    api::GetRequest request;
    EXPECT_TRUE(request.ParseFromArray(message.data(), static_cast<int>(message.size())));
    const auto item = items_.find(request.key());
    if (item == items_.end()) return {.grpc_status = "5", .trailers_only = true};
    api::GetResponse response;
    response.set_key(item->first);
    response.set_value(item->second);
    return {.message = response.SerializeAsString()};
  }

  size_t size() const { return items_.size(); }

 private:
  std::map<std::string, std::string> items_;
};

class RunTest : public testing::TestWithParam<Engine> {
 protected:
  LoadOptions Options(const FakeServer& server) const {
    LoadOptions options;
    options.engine = GetParam();
    options.endpoint = server.endpoint();
    options.connections = 4;
    options.streams = 8;
    options.warmup_seconds = 0;
    options.operations = 2000;
    options.keys = 300;
    return options;
  }
};

TEST_P(RunTest, PreloadsAndMeasuresExactlyTheOperations) {
  FakeStore store;
  FakeServer server(std::ref(store));
  LoadOptions options = Options(server);
  options.preload = 300;
  options.reads_percent = 50;
  options.threads = 3;
  const absl::StatusOr<Report> report = RunLoad(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->AsExpected()) << ReportText(*report);
  EXPECT_EQ(report->stats.measured(), 2000u);
  EXPECT_GT(report->stats.reads.count(), 700u);
  EXPECT_GT(report->stats.writes.count(), 700u);
  EXPECT_EQ(report->stats.calls, 2300u);
  EXPECT_EQ(store.size(), 300u);
}

TEST_P(RunTest, RunsForATime) {
  FakeServer server([](std::string_view, std::string_view) { return FakeReply{}; });
  LoadOptions options = Options(server);
  options.target = Target::kEmpty;
  options.operations = 0;
  options.warmup_seconds = 0.05;
  options.duration_seconds = 0.1;
  const absl::StatusOr<Report> report = RunLoad(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->AsExpected()) << ReportText(*report);
  EXPECT_NEAR(report->Seconds(), 0.1, 1e-6);
  EXPECT_GT(report->stats.calls, report->stats.measured());
}

TEST_P(RunTest, AnOpenLoopMakesEveryCallOfItsSchedule) {
  FakeServer server([](std::string_view, std::string_view) { return FakeReply{}; });
  for (const Arrivals arrivals : {Arrivals::kEven, Arrivals::kRandom}) {
    LoadOptions options = Options(server);
    options.target = Target::kEmpty;
    options.operations = 0;
    options.duration_seconds = 0.5;
    options.rate = 2000;
    options.arrivals = arrivals;
    options.threads = 2;
    const absl::StatusOr<Report> report = RunLoad(options);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_TRUE(report->AsExpected()) << ReportText(*report);
    // However slow the machine: what was due is made, late if need be.
    const double spread = arrivals == Arrivals::kEven ? 1 : 200;  // Six standard deviations.
    EXPECT_NEAR(static_cast<double>(report->stats.measured()), 1000, spread);
    EXPECT_EQ(report->stats.sent_late.count(), report->stats.measured());
  }
}

// Goal:   a stall of the server delays the calls that come due in it, all of them.
// Method: one call in flight at most, and a server that thinks 200 ms about one answer.
TEST_P(RunTest, AnOpenLoopHidesNoStall) {
  std::atomic<int> calls = 0;
  FakeServer server([&](std::string_view, std::string_view) {
    if (++calls == 10) std::this_thread::sleep_for(std::chrono::milliseconds(200));
    return FakeReply{};
  });
  LoadOptions options = Options(server);
  options.target = Target::kEmpty;
  options.connections = 1;
  options.streams = 1;
  options.operations = 0;
  options.duration_seconds = 0.5;
  options.rate = 1000;
  const absl::StatusOr<Report> report = RunLoad(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->AsExpected()) << ReportText(*report);
  EXPECT_EQ(report->stats.measured(), 500u);
  // 200 calls came due in the stall: half of them waited 100 ms and more. They are a fifth of all.
  EXPECT_GE(report->stats.reads.Percentile(0.8), 90'000'000u);
}

TEST_P(RunTest, AnOpenLoopThatIsFarBehindIsGivenUpAndCounted) {
  std::atomic<int> calls = 0;
  FakeServer server([&](std::string_view, std::string_view) {
    ++calls;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return FakeReply{};
  });
  LoadOptions options = Options(server);
  options.target = Target::kEmpty;
  options.operations = 0;
  options.duration_seconds = 0.2;
  options.timeout_seconds = 0.2;
  options.rate = 100'000;
  const absl::StatusOr<Report> report = RunLoad(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->AsExpected());
  const Stats& stats = report->stats;
  EXPECT_GT(stats.failures[static_cast<size_t>(Failure::kNotSent)], 10'000u);
  EXPECT_EQ(stats.calls + stats.failures[static_cast<size_t>(Failure::kNotSent)] +
                stats.failures[static_cast<size_t>(Failure::kNoAnswer)],
            20'000u);
}

TEST_P(RunTest, LockstepMakesTheSameCalls) {
  FakeServer server([](std::string_view, std::string_view) { return FakeReply{}; });
  LoadOptions options = Options(server);
  options.target = Target::kEmpty;
  options.connections = 1;
  options.lockstep = true;
  const absl::StatusOr<Report> report = RunLoad(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->AsExpected()) << ReportText(*report);
  EXPECT_EQ(report->stats.measured(), 2000u);
}

TEST_P(RunTest, MissingKeysAndWrongSizesAreCounted) {
  FakeStore store;
  FakeServer server(std::ref(store));
  LoadOptions options = Options(server);
  absl::StatusOr<Report> report = RunLoad(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->AsExpected());
  EXPECT_EQ(report->stats.statuses[5], 2000u);
  options.allow_not_found = true;
  report = RunLoad(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->AsExpected()) << ReportText(*report);

  options.preload = 300;
  ASSERT_TRUE(RunLoad(options).ok());
  options.preload = 0;
  options.value_bytes = 65;
  report = RunLoad(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->AsExpected());
  EXPECT_EQ(report->stats.mismatches, 2000u);
}

TEST_P(RunTest, LostConnectionsAreCounted) {
  FakeServer server([](std::string_view, std::string_view) { return FakeReply{}; });
  server.HangUpAfter(100);
  LoadOptions options = Options(server);
  options.target = Target::kEmpty;
  const absl::StatusOr<Report> report = RunLoad(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->AsExpected());
  EXPECT_EQ(report->stats.failures[static_cast<size_t>(Failure::kConnectionLost)], 32u);
  EXPECT_FALSE(report->stats.first_error.empty());
}

TEST_P(RunTest, AServerThatFallsSilentEndsTheRun) {
  std::atomic<int> calls = 0;
  FakeServer server(
      [&](std::string_view, std::string_view) { return FakeReply{.never = ++calls > 500}; });
  LoadOptions options = Options(server);
  options.target = Target::kEmpty;
  options.timeout_seconds = 0.2;
  const absl::StatusOr<Report> report = RunLoad(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->AsExpected());
  EXPECT_EQ(report->stats.failures[static_cast<size_t>(Failure::kNoAnswer)], 32u);
}

TEST_P(RunTest, TooManyStreamsAreRefusedAtOnce) {
  FakeServer server([](std::string_view, std::string_view) { return FakeReply{}; },
                    {{3 /* SETTINGS_MAX_CONCURRENT_STREAMS */, 7}});
  const absl::StatusOr<Report> report = RunLoad(Options(server));
  ASSERT_FALSE(report.ok());
  EXPECT_NE(MessageOf(report.status()).find("only 7 streams"), std::string_view::npos)
      << report.status();
}

INSTANTIATE_TEST_SUITE_P(Engines, RunTest, testing::Values(Engine::kLean, Engine::kNghttp2),
                         [](const auto& info) {
                           return info.param == Engine::kLean ? "Lean" : "Nghttp2";
                         });

TEST(RunLoad, RefusesBadOptions) {
  LoadOptions options;
  options.connections = 0;
  EXPECT_EQ(RunLoad(options).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace mokv::load
