#include "telemetry/audit_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/testing/scratch_directory.h"

namespace mokv::telemetry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr Duration kNoWait = std::chrono::seconds(0);

AuditRecord RecordOf(std::string_view object) {
  return {.subject = "alice",
          .peer = "127.0.0.1:5",
          .method = "/api.KV/Set",
          .object = object,
          .action = "produce",
          .allowed = true,
          .rule = "p, alice, *, produce",
          .line = 3};
}

// A directory of the test's own, with a log in it.
class AuditLogTest : public ::testing::Test {
 protected:
  std::string path(std::string_view suffix = "") const {
    return directory_.PathOf("audit.log") + std::string(suffix);
  }
  std::unique_ptr<AuditLog> Open(uint64_t bytes_max = 1 << 20) const {
    auto log = AuditLog::Open({.path = path(), .bytes_max = bytes_max});
    EXPECT_TRUE(log.ok()) << log.status();
    return *std::move(log);
  }
  // What its lines are about.
  std::vector<std::string> ObjectsIn(const std::string& file) const {
    std::vector<std::string> objects;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) {
      objects.push_back(nlohmann::json::parse(line).at("object"));
    }
    return objects;
  }
  static void Write(AuditLog& log, std::string_view object) {
    log.Record(RecordOf(object));
    log.DrainOnce(kNoWait);
  }

  ScratchDirectory directory_;
};

TEST(AuditLine, SaysAllThatIsKnown) {
  EXPECT_EQ(AuditLine(RecordOf("k"), "2026-01-02T03:04:05.000006Z"),
            R"({"time":"2026-01-02T03:04:05.000006Z","subject":"alice","peer":"127.0.0.1:5",)"
            R"("method":"/api.KV/Set","object":"k","action":"produce","decision":"allow",)"
            R"("rule":"p, alice, *, produce","line":3,"status":"OK"})");
}

TEST(AuditLine, LeavesOutWhatIsNot) {
  const std::string line = AuditLine({.subject = "bob",
                                      .forwarded_by = "node-2",
                                      .method = "/api.KV/Get",
                                      .object = "k",
                                      .action = "consume",
                                      .rule = "no rule matches",
                                      .code = absl::StatusCode::kPermissionDenied},
                                     "t");
  EXPECT_EQ(line, R"({"time":"t","subject":"bob","forwarded_by":"node-2","method":"/api.KV/Get",)"
                  R"("object":"k","action":"consume","decision":"deny","rule":"no rule matches",)"
                  R"("status":"PERMISSION_DENIED"})");
}

// Goal: nobody writes a line of their own by the name of a key or of a subject.
TEST(AuditLine, IsOneLineWhateverTheTextsAre) {
  AuditRecord record = RecordOf("a\n{\"b\"}\xff");
  record.subject = "x\"\r\n";
  const std::string line = AuditLine(record, "t");
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(line).at("subject"), "x\"\r\n");
}

TEST(AuditLine, CutsLongTexts) {
  const std::string line = AuditLine(RecordOf(std::string(AuditLog::kTextBytesMax + 5, 'k')), "t");
  EXPECT_THAT(nlohmann::json::parse(line).at("object").get<std::string>(),
              SizeIs(AuditLog::kTextBytesMax));
}

TEST(AuditLine, CutsDenialsSooner) {
  const std::string object(AuditLog::kTextBytesMax, 'k');
  AuditRecord record = RecordOf(object);
  record.allowed = false;
  EXPECT_THAT(nlohmann::json::parse(AuditLine(record, "t")).at("object").get<std::string>(),
              SizeIs(AuditLog::kDeniedTextBytesMax));
}

TEST_F(AuditLogTest, AppendsToWhatIsThere) {
  Write(*Open(), "first");
  const auto log = Open();
  Write(*log, "second");
  EXPECT_THAT(ObjectsIn(path()), ElementsAre("first", "second"));
  EXPECT_EQ(log->written(), 1U);
  EXPECT_EQ(log->dropped(), 0U);
}

TEST_F(AuditLogTest, IsNotForEverybodysEyes) {
  Write(*Open(), "k");
  struct stat found {};
  ASSERT_EQ(stat(path().c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07U, 0U);
}

TEST_F(AuditLogTest, IsRotatedBySizeAndKeepsOneOldFile) {
  const size_t line_bytes = AuditLine(RecordOf("0"), "2026-01-02T03:04:05.000006Z").size() + 1;
  const auto log = Open(2 * line_bytes);
  for (const char* object : {"0", "1", "2", "3", "4"}) Write(*log, object);
  EXPECT_THAT(ObjectsIn(path()), ElementsAre("4"));
  EXPECT_THAT(ObjectsIn(path(".1")), ElementsAre("2", "3"));
  EXPECT_FALSE(std::filesystem::exists(path(".2")));
  EXPECT_EQ(log->written(), 5U);
}

// Goal: the size that a file has at the start counts.
TEST_F(AuditLogTest, IsRotatedAfterARestart) {
  Write(*Open(), "old");
  Write(*Open(10), "new");
  EXPECT_THAT(ObjectsIn(path()), ElementsAre("new"));
  EXPECT_THAT(ObjectsIn(path(".1")), ElementsAre("old"));
}

TEST_F(AuditLogTest, ReopensWhenItIsToldTo) {
  const auto log = Open();
  Write(*log, "before");
  std::filesystem::rename(path(), path(".moved"));
  log->Reopen();
  // At once, without a line: who moved the file away may look for the new one.
  log->DrainOnce(kNoWait);
  EXPECT_TRUE(std::filesystem::exists(path()));
  Write(*log, "after");
  EXPECT_THAT(ObjectsIn(path(".moved")), ElementsAre("before"));
  EXPECT_THAT(ObjectsIn(path()), ElementsAre("after"));
}

// Goal: lines do not go into a file that nobody will ever find.
TEST_F(AuditLogTest, MakesAFileThatHasGoneAnew) {
  const auto log = Open();
  Write(*log, "before");
  std::filesystem::remove(path());
  Write(*log, "removed");
  EXPECT_THAT(ObjectsIn(path()), ElementsAre("removed"));
  std::filesystem::rename(path(), path(".moved"));
  Write(*log, "moved");
  EXPECT_THAT(ObjectsIn(path()), ElementsAre("moved"));
  EXPECT_EQ(log->written(), 3U);
}

// Goal: what is in the way of the old file costs no line.
TEST_F(AuditLogTest, GrowsOnWhereItCannotBeRotated) {
  std::filesystem::create_directory(path(".1"));
  const auto log = Open(10);
  for (const char* object : {"0", "1", "2"}) Write(*log, object);
  EXPECT_THAT(ObjectsIn(path()), ElementsAre("0", "1", "2"));
  EXPECT_EQ(log->dropped(), 0U);
  std::filesystem::remove(path(".1"));
  Write(*log, "3");
  EXPECT_THAT(ObjectsIn(path(".1")), ElementsAre("0", "1", "2"));
  EXPECT_THAT(ObjectsIn(path()), ElementsAre("3"));
}

// Goal: the limit holds for lines that come together, too.
TEST_F(AuditLogTest, IsRotatedWithinABatch) {
  const size_t line_bytes = AuditLine(RecordOf("0"), "2026-01-02T03:04:05.000006Z").size() + 1;
  const auto log = Open(2 * line_bytes + 1);
  for (const char* object : {"0", "1", "2", "3", "4"}) log->Record(RecordOf(object));
  log->DrainOnce(kNoWait);
  EXPECT_THAT(ObjectsIn(path()), ElementsAre("4"));
  EXPECT_THAT(ObjectsIn(path(".1")), ElementsAre("2", "3"));
  EXPECT_EQ(log->written(), 5U);
}

TEST_F(AuditLogTest, CountsWhatItCannotWriteAndGoesOn) {
  const auto log = Open();
  Write(*log, "before");
  std::filesystem::remove(path());
  std::filesystem::create_directory(path());
  log->Reopen();
  Write(*log, "lost");
  EXPECT_EQ(log->dropped(), 1U);
  std::filesystem::remove(path());
  Write(*log, "after");
  EXPECT_EQ(log->dropped(), 1U);
  EXPECT_EQ(log->written(), 2U);
  EXPECT_THAT(ObjectsIn(path()), ElementsAre("after"));
}

// Goal: a disk that hangs holds up no request.
TEST_F(AuditLogTest, DropsAndCountsWhatFindsNoRoom) {
  const auto log = Open(uint64_t{100} << 20);
  const std::string object(4000, 'k');
  const size_t count = LineQueue::kBytesMax / object.size() + 100;
  for (size_t i = 0; i < count; ++i) log->Record(RecordOf(object));
  const uint64_t dropped = log->dropped();
  EXPECT_GT(dropped, 0U);
  log->DrainOnce(kNoWait);
  EXPECT_EQ(log->written() + dropped, count);
  EXPECT_THAT(ObjectsIn(path()), SizeIs(count - dropped));
}

// Goal: who may nothing, and asks all the time, does not displace what others do.
TEST_F(AuditLogTest, DenialsLeaveRoomForTheRest) {
  const auto log = Open(uint64_t{100} << 20);
  const std::string object(400, 'k');
  AuditRecord denial = RecordOf(object);
  denial.allowed = false;
  while (log->dropped() == 0) log->Record(denial);
  log->Record(RecordOf("done"));
  EXPECT_EQ(log->dropped(), 1U);
  log->DrainOnce(kNoWait);
  EXPECT_EQ(ObjectsIn(path()).back(), "done");
}

TEST_F(AuditLogTest, WritesAllBeforeItEnds) {
  const auto log = Open();
  std::thread drains([&] {
    while (log->DrainOnce(std::chrono::seconds(60))) {
    }
  });
  for (int i = 0; i < 100; ++i) log->Record(RecordOf("k"));
  log->Close();
  drains.join();
  EXPECT_THAT(ObjectsIn(path()), SizeIs(100));
}

TEST_F(AuditLogTest, NamesAFileThatItCannotHave) {
  std::filesystem::create_directory(path());
  for (const std::string& file : {path(), path("/nowhere/audit.log")}) {
    const absl::Status status = AuditLog::Open({.path = file}).status();
    EXPECT_THAT(std::string(status.message()), HasSubstr(file));
    EXPECT_EQ(AuditLog::CheckPath(file), status);
  }
}

TEST_F(AuditLogTest, CheckMakesNoFile) {
  EXPECT_TRUE(AuditLog::CheckPath(path()).ok());
  EXPECT_FALSE(std::filesystem::exists(path()));
  Write(*Open(), "k");
  EXPECT_TRUE(AuditLog::CheckPath(path()).ok());
}

// Goal: a pipe that nobody reads would stop the log for good.
TEST_F(AuditLogTest, RefusesWhatIsNoFile) {
  ASSERT_EQ(mkfifo(path().c_str(), 0600), 0);
  EXPECT_FALSE(AuditLog::Open({.path = path()}).ok());
}

}  // namespace
}  // namespace mokv::telemetry
