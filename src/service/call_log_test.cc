#include "service/call_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/testing/scratch_directory.h"
#include "net/testing/wait.h"
#include "service/permission.h"
#include "service/testing/served.h"

namespace mokv::service {
namespace {

using std::chrono::microseconds;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Served;

std::string MetricsOf(const CallLog& log) {
  telemetry::MetricsPage page;
  page.Register([&](telemetry::MetricsWriter& writer) { log.WriteMetrics(writer); });
  return page.Render();
}

// Of the counter's line for this method and code.
std::string Counted(const std::string& method, const std::string& code, int count) {
  return "mokv_rpc_calls_total{method=\"" + method + "\",code=\"" + code + "\"} " +
         std::to_string(count) + "\n";
}

// A request log whose lines are kept.
struct Lines {
  telemetry::RequestLog log{
      telemetry::RequestLogMode::kAll, telemetry::kSlowRequest,
      [this](const telemetry::RequestRecord& record) {
        lines.push_back({std::string(record.method), std::string(record.subject),
                         std::string(record.peer), record.code, record.duration,
                         record.request_bytes, record.response_bytes});
        return true;
      }};
  struct Line {
    std::string method;
    std::string subject;
    std::string peer;
    absl::StatusCode code;
    Duration duration;
    uint64_t request_bytes;
    uint64_t response_bytes;
  };
  std::vector<Line> lines;

  // Waits until there are so many.
  void WaitFor(size_t count) {
    EXPECT_TRUE(net::Until([&] {
      log.DrainOnce(std::chrono::milliseconds(10));
      return lines.size() >= count;
    }));
  }
};

// A server of two methods, /t.T/A and /t.T/B, that nobody calls.
struct Methods {
  Methods() {
    server.AddUnary("/t.T/A", [](rpc::UnaryCall&) {});
    server.AddUnary("/t.T/B", [](rpc::UnaryCall&) {});
  }
  net::IoPool pool{1};
  rpc::Server server{pool, {}, nullptr};
};

TEST(CallLog, CountsCallsOfAllThreadsByMethodAndCode) {
  const Methods methods;
  Lines lines;
  CallLog log(lines.log);
  log.Prepare(methods.server, 2);
  const size_t a = methods.server.method_paths().at(0) == "/t.T/A" ? 0 : 1;
  log.OnCallFinished({.io_thread = 0, .method = a, .duration = microseconds(20)});
  log.OnCallFinished({.io_thread = 1, .method = a, .duration = microseconds(30)});
  log.OnCallFinished({.io_thread = 1, .method = a, .code = absl::StatusCode::kNotFound});
  log.OnCallFinished({.io_thread = 0, .method = 1 - a, .code = absl::StatusCode::kAborted});
  const std::string page = MetricsOf(log);
  EXPECT_THAT(page, HasSubstr(Counted("/t.T/A", "OK", 2)));
  EXPECT_THAT(page, HasSubstr(Counted("/t.T/A", "NOT_FOUND", 1)));
  EXPECT_THAT(page, HasSubstr(Counted("/t.T/B", "OK", 0)));
  EXPECT_THAT(page, HasSubstr(Counted("/t.T/B", "ABORTED", 1)));
  EXPECT_THAT(page, HasSubstr("mokv_rpc_call_duration_seconds_count{method=\"/t.T/A\"} 3\n"));
  EXPECT_THAT(page, HasSubstr("mokv_rpc_call_duration_seconds_count{method=\"/t.T/B\"} 1\n"));
}

// Paths that clients make up are no labels: there is no end to them.
TEST(CallLog, CountsMethodsThatThereAreNotAsOne) {
  const Methods methods;
  Lines lines;
  CallLog log(lines.log);
  log.Prepare(methods.server, 1);
  for (const char* path : {"/t.T/C", "/other"}) {
    log.OnCallFinished(
        {.method = rpc::kUnknownMethod, .path = path, .code = absl::StatusCode::kUnimplemented});
  }
  const std::string page = MetricsOf(log);
  EXPECT_THAT(page, HasSubstr(Counted("unknown", "UNIMPLEMENTED", 2)));
  EXPECT_THAT(page, Not(HasSubstr("/other")));
  lines.WaitFor(2);
  EXPECT_EQ(lines.lines.at(1).method, "/other") << "as the client sent it";
}

TEST(CallLog, GivesTheRequestLogWhatIsKnownOfACall) {
  const Methods methods;
  Lines lines;
  CallLog log(lines.log);
  log.Prepare(methods.server, 1);
  log.OnCallFinished({.method = 0,
                      .path = "/t.T/A",
                      .subject = "alice",
                      .peer_address = "10.0.0.1:5",
                      .code = absl::StatusCode::kNotFound,
                      .message = "no value for key: secret",
                      .duration = microseconds(70),
                      .request_bytes = 3,
                      .response_bytes = 8});
  lines.WaitFor(1);
  const Lines::Line& line = lines.lines.at(0);
  EXPECT_EQ(line.method, "/t.T/A");
  EXPECT_EQ(line.subject, "alice");
  EXPECT_EQ(line.peer, "10.0.0.1:5");
  EXPECT_EQ(line.code, absl::StatusCode::kNotFound);
  EXPECT_EQ(line.duration, microseconds(70));
  EXPECT_EQ(line.request_bytes, 3u);
  EXPECT_EQ(line.response_bytes, 8u);
}

// Goal: what is not audited is, once it is denied: by the leader, or while it goes on.
TEST(CallLog, AuditsWhatIsDeniedLater) {
  const Methods methods;
  Lines lines;
  const ScratchDirectory directory;
  const auto audit = telemetry::AuditLog::Open({.path = directory.PathOf("audit.log")});
  ASSERT_TRUE(audit.ok()) << audit.status();
  CallLog log(lines.log, audit->get());
  log.Prepare(methods.server, 1);
  AccessNote note;
  note.object = "a*";
  note.decision = {.allowed = true, .line = 3, .text = "item by item"};
  for (const absl::StatusCode code : {absl::StatusCode::kOk, absl::StatusCode::kPermissionDenied}) {
    log.OnCallFinished({.method = 0, .path = "/t.T/A", .code = code, .note = &note});
  }
  (*audit)->DrainOnce(std::chrono::seconds(0));
  std::ifstream text(directory.PathOf("audit.log"));
  std::string line;
  std::getline(text, line);
  EXPECT_THAT(line, HasSubstr(R"("object":"a*")"));
  EXPECT_THAT(line, HasSubstr(R"("decision":"deny","rule":"allowed at first, then denied by other )"
                              R"(access rules","status":"PERMISSION_DENIED")"));
  EXPECT_FALSE(std::getline(text, line));
}

// From the client's call to the page and the log.
TEST(CallLog, IsToldByTheServerOfEveryCall) {
  Lines lines;
  CallLog log(lines.log);
  Served served({.subject = "alice", .observer = &log});
  served.server().AddUnary("/t.T/Twice", [](rpc::UnaryCall& call) {
    call.response().append(call.request()).append(call.request());
    call.Finish();
  });
  log.Prepare(served.server(), served.pool().size());
  served.Start();
  EXPECT_EQ(served.Call("/t.T/Twice", std::string("abc")).message, "abcabc");
  EXPECT_EQ(served.Call("/t.T/Nothing", std::string("abc")).status.code(),
            absl::StatusCode::kUnimplemented);
  lines.WaitFor(2);
  const Lines::Line& twice = lines.lines.at(0);
  EXPECT_EQ(twice.method, "/t.T/Twice");
  EXPECT_EQ(twice.subject, "alice");
  EXPECT_THAT(twice.peer, HasSubstr("127.0.0.1:"));
  EXPECT_EQ(twice.code, absl::StatusCode::kOk);
  EXPECT_EQ(twice.request_bytes, 3u);
  EXPECT_EQ(twice.response_bytes, 6u);
  EXPECT_EQ(lines.lines.at(1).method, "/t.T/Nothing");
  EXPECT_EQ(lines.lines.at(1).code, absl::StatusCode::kUnimplemented);
  const std::string page = MetricsOf(log);
  EXPECT_THAT(page, HasSubstr(Counted("/t.T/Twice", "OK", 1)));
  EXPECT_THAT(page, HasSubstr(Counted("unknown", "UNIMPLEMENTED", 1)));
}

}  // namespace
}  // namespace mokv::service
