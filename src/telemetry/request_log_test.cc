#include "telemetry/request_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"

namespace mokv::telemetry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Duration kNoWait{0};

struct Collected {
  std::vector<std::string> keys;
  RequestLog::Sink Sink() {
    return [this](const RequestRecord& record) {
      keys.emplace_back(record.key);
      return true;
    };
  }
};

RequestRecord Request(std::string_view key, absl::StatusCode code = absl::StatusCode::kOk,
                      Duration duration = std::chrono::milliseconds(1)) {
  return {.method = "/api.KV/Get",
          .subject = "root",
          .peer = "127.0.0.1:5",
          .key = key,
          .code = code,
          .duration = duration,
          .request_bytes = 3,
          .response_bytes = 70};
}

void RecordOneOfEachKind(RequestLog& log) {
  log.Record(Request("fast"));
  log.Record(Request("slow", absl::StatusCode::kOk, kSlowRequest + Duration(1)));
  log.Record(Request("missing", absl::StatusCode::kNotFound));
  log.Record(Request("cancelled", absl::StatusCode::kCancelled));
  log.Record(Request("denied", absl::StatusCode::kPermissionDenied));
}

std::vector<std::string> LoggedIn(RequestLogMode mode) {
  Collected collected;
  RequestLog log(mode, kSlowRequest, collected.Sink());
  RecordOneOfEachKind(log);
  EXPECT_TRUE(log.DrainOnce(kNoWait));
  return collected.keys;
}

TEST(RequestLog, LogsWhatTheModeAsksFor) {
  EXPECT_THAT(LoggedIn(RequestLogMode::kAll),
              ElementsAre("fast", "slow", "missing", "cancelled", "denied"));
  EXPECT_THAT(LoggedIn(RequestLogMode::kSlow), ElementsAre("slow"));
  EXPECT_THAT(LoggedIn(RequestLogMode::kErrors), ElementsAre("denied"));
  EXPECT_THAT(LoggedIn(RequestLogMode::kOff), ElementsAre());
}

TEST(RequestLog, KeepsEveryFieldBeyondTheCall) {
  RequestRecord seen;
  std::string method;
  RequestLog log(RequestLogMode::kAll, kSlowRequest, [&](const RequestRecord& record) {
    seen = record;
    method = record.method;
    return true;
  });
  {
    std::string borrowed = "/api.KV/Set";
    RequestRecord record = Request("k", absl::StatusCode::kInternal);
    record.method = borrowed;
    log.Record(record);
    borrowed.assign(borrowed.size(), 'x');
  }
  log.DrainOnce(kNoWait);
  EXPECT_EQ(method, "/api.KV/Set");
  EXPECT_EQ(seen.code, absl::StatusCode::kInternal);
  EXPECT_EQ(seen.duration, std::chrono::milliseconds(1));
  EXPECT_EQ(seen.request_bytes, 3U);
  EXPECT_EQ(seen.response_bytes, 70U);
}

TEST(RequestLog, CutsLongKeys) {
  Collected collected;
  RequestLog log(RequestLogMode::kAll, kSlowRequest, collected.Sink());
  log.Record(Request(std::string(4096, 'k')));
  log.DrainOnce(kNoWait);
  EXPECT_THAT(collected.keys, ElementsAre(std::string(256, 'k') + "... (4096 bytes)"));
}

TEST(RequestLog, DropsAndCountsWhenFull) {
  Collected collected;
  RequestLog log(RequestLogMode::kAll, kSlowRequest, collected.Sink());
  for (size_t i = 0; i < RequestLog::kQueueMax + 3; ++i) log.Record(Request("k"));
  EXPECT_EQ(log.dropped(), 3U);
  EXPECT_TRUE(log.DrainOnce(kNoWait));
  EXPECT_EQ(collected.keys.size(), RequestLog::kQueueMax);
  log.Record(Request("after"));
  EXPECT_TRUE(log.DrainOnce(kNoWait));
  EXPECT_EQ(collected.keys.back(), "after");
  EXPECT_EQ(log.dropped(), 3U);
}

TEST(RequestLog, CountsWhatItsSinkDropped) {
  RequestLog log(RequestLogMode::kAll, kSlowRequest, [](const RequestRecord&) { return false; });
  log.Record(Request("k"));
  EXPECT_TRUE(log.DrainOnce(kNoWait));
  EXPECT_EQ(log.dropped(), 1U);
}

// Goal: a client that is refused 300,000 times does not fill the disk with it.
TEST(RequestLog, WritesAFewOfTheSameKindAndThenTheirNumber) {
  Collected collected;
  std::vector<std::pair<std::string, uint64_t>> counted;
  RequestLog log(RequestLogMode::kErrors, kSlowRequest, collected.Sink(),
                 [&](std::string_view kind, uint64_t count) { counted.emplace_back(kind, count); });
  for (int i = 0; i < 5'000; ++i) {
    log.Record(Request("k", absl::StatusCode::kPermissionDenied));
  }
  log.Record(Request("other", absl::StatusCode::kInternal));
  while (log.DrainOnce(kNoWait) && counted.empty() && collected.keys.empty()) {
  }
  log.Close();
  while (log.DrainOnce(kNoWait)) {
  }
  EXPECT_EQ(collected.keys.size(), Repetition::kShownMax + 1);
  EXPECT_EQ(collected.keys.back(), "other");
  EXPECT_THAT(counted, ElementsAre(std::pair<std::string, uint64_t>(
                           "/api.KV/Get PERMISSION_DENIED", 5'000 - Repetition::kShownMax)));
}

TEST(RequestLog, LeavesNothingOutWhenAllIsAskedFor) {
  Collected collected;
  RequestLog log(RequestLogMode::kAll, kSlowRequest, collected.Sink());
  for (int i = 0; i < 5'000; ++i) log.Record(Request("k"));
  log.DrainOnce(kNoWait);
  EXPECT_EQ(collected.keys.size(), 5'000U);
}

TEST(RequestLog, WritesWhatIsLeftAfterClose) {
  Collected collected;
  RequestLog log(RequestLogMode::kAll, kSlowRequest, collected.Sink());
  log.Record(Request("before"));
  log.Close();
  log.Record(Request("after"));
  EXPECT_TRUE(log.DrainOnce(kNoWait));
  EXPECT_FALSE(log.DrainOnce(kNoWait));
  EXPECT_THAT(collected.keys, ElementsAre("before"));
  EXPECT_EQ(log.dropped(), 0U);
}

// Goal:   nothing is lost or doubled between I/O threads, the drain and the close.
// Method: two writers, one drain; all that was recorded was either written or counted as dropped.
TEST(RequestLog, AccountsForEveryRecordAmongThreads) {
  constexpr size_t kEach = 20'000;
  size_t written = 0;  // Of the draining thread.
  RequestLog log(RequestLogMode::kAll, kSlowRequest, [&](const RequestRecord&) {
    ++written;
    return true;
  });
  std::thread drain([&log] {
    while (log.DrainOnce(std::chrono::hours(1))) {
    }
  });
  const auto write = [&log] {
    for (size_t i = 0; i < kEach; ++i) log.Record(Request("key"));
  };
  std::thread first(write);
  std::thread second(write);
  first.join();
  second.join();
  log.Close();
  drain.join();
  EXPECT_EQ(written + log.dropped(), 2 * kEach);
}

// Goal: a record alone wakes a drain that already waits; without a wake-up this takes an hour.
TEST(RequestLog, WakesTheDrain) {
  std::atomic<int> written{0};
  RequestLog log(RequestLogMode::kAll, kSlowRequest, [&](const RequestRecord&) {
    ++written;
    return true;
  });
  std::thread drain([&log] {
    while (log.DrainOnce(std::chrono::hours(1))) {
    }
  });
  for (int i = 1; i <= 100; ++i) {
    log.Record(Request("k"));
    while (written.load() < i) std::this_thread::yield();
  }
  log.Close();
  drain.join();
}

TEST(RequestLog, WritesToTheProcessLog) {
  ::testing::internal::CaptureStderr();
  RequestLog::WriteToProcessLog(Request("a b", absl::StatusCode::kAborted));
  const std::string line = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(line, HasSubstr("request method=/api.KV/Get code=ABORTED duration_ms=1"));
  EXPECT_THAT(line, HasSubstr("subject=root peer=127.0.0.1:5 key=\"a b\""));
  EXPECT_THAT(line, HasSubstr("request_bytes=3 response_bytes=70"));
}

}  // namespace
}  // namespace mokv::telemetry
