#include "base/logging.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>

namespace mokv {
namespace {

constexpr Duration kLong = std::chrono::seconds(60);

// Standard error as a pipe, for the life of this object.
class StandardErrorPipe {
 public:
  StandardErrorPipe() : saved_(dup(STDERR_FILENO)) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    read_ = ends[0];
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
  }
  ~StandardErrorPipe() {
    dup2(saved_, STDERR_FILENO);
    close(saved_);
    close(read_);
  }
  // Nothing more comes in: what is read comes to its end.
  void EndInput() { dup2(saved_, STDERR_FILENO); }
  std::string ReadAll() {
    std::string text;
    char buffer[65536];
    for (ssize_t size; (size = read(read_, buffer, sizeof buffer)) > 0;) {
      text.append(buffer, static_cast<size_t>(size));
    }
    return text;
  }

 private:
  int saved_;
  int read_;
};

// Goal:   whoever reads the log may stand still; who logs does not wait, and is told what was lost.
// Method: nobody reads a pipe until far more has been logged than fits.
TEST(Logging, NobodyWaitsForAReaderThatStandsStill) {
  StandardErrorPipe pipe;
  StartQueuedLog();
  std::thread writer([] {
    while (WriteQueuedLog(kLong)) {
    }
  });
  const std::string padding(1000, 'x');
  // Nothing of these is counted instead of written.
  int logged = 0;
  while (LogBulk("request", {{"padding", padding}})) ++logged;
  EXPECT_GT(logged, 1000);
  EXPECT_EQ(LogLinesDropped(), 1U);
  LogInfo("has room all the same");
  EXPECT_FALSE(FlushLog(Duration(0)));

  std::string text;
  std::thread reader([&] { text = pipe.ReadAll(); });
  EXPECT_TRUE(FlushLog(kLong));
  LogInfo("after");
  for (int i = 0; i < 1000; ++i) LogInfo("again and again", {{"i", i}});
  CloseQueuedLog();
  writer.join();
  pipe.EndInput();
  reader.join();
  EXPECT_NE(text.find("log lines were dropped: nobody read them in time count=1\n"),
            std::string::npos);
  EXPECT_NE(text.find("has room all the same\n"), std::string::npos);
  EXPECT_NE(text.find("after\n"), std::string::npos);
  EXPECT_NE(text.find("again and again i=0\n"), std::string::npos);
  EXPECT_EQ(text.find("again and again i=999\n"), std::string::npos);
  EXPECT_NE(text.find("lines of the same kind were left out line=\"again and again\" count=980\n"),
            std::string::npos)
      << text.substr(text.size() - std::min<size_t>(text.size(), 3000));
}

}  // namespace
}  // namespace mokv
